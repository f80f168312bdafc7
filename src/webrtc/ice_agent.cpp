#include "webrtc/ice_agent.h"

#include <algorithm>
#include <array>
#include <utility>

namespace miharu::webrtc {

using base::SteadyTime;
using net::UdpPath;

std::string_view name_of(IceVerdict verdict) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "accepted",        "answer",      "malformed",     "no_fingerprint", "wrong_username",
      "unauthenticated", "bad_request", "role_conflict", "unexpected"};
  return kNames[static_cast<size_t>(verdict)];
}

IceAgent::Generation::Generation(const IceCredentials& local, const IceCredentials& remote, uint64_t count)
    : local_ufrag(local.ufrag),
      username(local.ufrag + ":" + remote.ufrag),
      remote_ufrag(remote.ufrag),
      key(local.password.reveal()),
      remote_username(remote.ufrag + ":" + local.ufrag),
      remote_key(remote.password.reveal()),
      number(count) {}

IceAgent::IceAgent(IceAgentConfig config, IceListener& listener, SteadyTime now)
    : listener_(listener),
      sends_checks_(config.sends_checks),
      local_addresses_(std::move(config.local_addresses)),
      transaction_tag_(config.transaction_tag),
      current_(config.local, config.remote, 0),
      restarted_(now),
      last_check_(now),
      error_second_(now) {
  make_check_list(config.local, config.remote, now);
}

void IceAgent::make_check_list(const IceCredentials& local, const IceCredentials& remote, SteadyTime now) {
  if (!sends_checks_) return;
  checks_ = std::make_unique<IceCheckList>(
      local, remote, local_addresses_, transaction_tag_,
      [this](const UdpPath& path, base::ByteView bytes) { listener_.send(path, bytes); }, now);
}

IceVerdict IceAgent::on_datagram(SteadyTime now, const UdpPath& path, base::ByteView bytes) {
  const auto message = parse_stun(bytes);
  if (!message) return IceVerdict::kMalformed;
  if (!message->has_fingerprint) return IceVerdict::kNoFingerprint;
  switch (message->type) {
    case StunClass::kRequest:
      return on_request(now, path, *message);
    case StunClass::kSuccess:
    case StunClass::kError:
      return on_answer(now, path, *message);
    case StunClass::kIndication:
      break;  // keeps a NAT's binding, and tells nothing: anybody can send one
  }
  return IceVerdict::kUnexpected;
}

IceVerdict IceAgent::on_request(SteadyTime now, const UdpPath& path, const StunMessage& request) {
  const Generation* generation = nullptr;
  if (request.username == current_.username) {
    generation = &current_;
  } else if (previous_ && request.username == previous_->username) {
    generation = &*previous_;
  } else {
    return IceVerdict::kWrongUsername;
  }
  // RFC 8489 section 9.1.3
  if (!request.has_integrity() || !request.is_signed_by(generation->key)) {
    answer_unauthenticated(now, path, request,
                           request.has_integrity() ? kStunUnauthenticated : kStunBadRequest);
    return IceVerdict::kUnauthenticated;
  }
  if (request.unknown_count != 0) {
    answer_error(path, request, kStunUnknownAttribute, &generation->key);
    return IceVerdict::kBadRequest;
  }
  if (!request.priority) {
    answer_error(path, request, kStunBadRequest, &generation->key);
    return IceVerdict::kBadRequest;
  }
  // RFC 8445 section 7.3.1.1, for one whose tie-breaker is always the smaller. That of neither attribute is
  // let pass: a conflict cannot be told.
  if (request.ice_controlled) {
    answer_error(path, request, kStunRoleConflict, &generation->key);
    return IceVerdict::kRoleConflict;
  }

  const uint64_t number = generation->number;
  const bool is_current = number == current_.number;
  // Before the answer, which makes the viewer begin DTLS.
  const Path& checked = touch(now, path, number);
  answer_success(path, request, generation->key);
  if (checks_ && is_current && !checked.answered) checks_->trigger(now, path, *request.priority);
  if (request.use_candidate) nominate(checked, number);
  if (checks_) checks_->on_time(now);
  return IceVerdict::kAccepted;
}

IceVerdict IceAgent::on_answer(SteadyTime now, const UdpPath& path, const StunMessage& answer) {
  const auto probe = std::find_if(probes_.begin(), probes_.end(),
                                  [&](const Probe& p) { return p.transaction == answer.transaction; });
  if (probe != probes_.end() && probe->path == path && answer.type == StunClass::kSuccess &&
      answer.is_signed_by(current_.remote_key)) {
    const Probe answered = *probe;
    probes_.erase(probe);
    listener_.on_probed(answered.id, now - answered.sent);
    return IceVerdict::kAnswer;
  }
  const auto result = checks_ ? checks_->on_answer(path, answer) : IceCheckList::Answer::kIgnored;
  if (result == IceCheckList::Answer::kIgnored) return IceVerdict::kUnexpected;
  if (result == IceCheckList::Answer::kSuccess) {
    touch(now, path, current_.number).answered = true;
    if (awaited_ == path) select(path, current_.number);
  }
  return IceVerdict::kAnswer;
}

void IceAgent::probe(SteadyTime now, uint32_t id) {
  if (!selected_) return;
  if (probes_.size() >= kMaxProbes) probes_.erase(probes_.begin());
  const Probe& made = probes_.emplace_back(Probe{make_transaction_id(transaction_tag_), *selected_, now, id});
  buffer_.clear();
  StunBuilder request(buffer_, StunClass::kRequest, made.transaction);
  request.username(current_.remote_username);
  request.priority(candidate_priority(IceCandidateType::kPeerReflexive, UINT16_MAX));
  request.ice_controlled(0);
  request.finish(&current_.remote_key);
  listener_.send(made.path, buffer_);
}

void IceAgent::answer_success(const UdpPath& path, const StunMessage& request, const StunKey& key) {
  buffer_.clear();
  StunBuilder answer(buffer_, StunClass::kSuccess, request.transaction);
  answer.xor_mapped_address(path.remote);
  answer.finish(&key);
  listener_.send(path, buffer_);
}

void IceAgent::answer_error(const UdpPath& path, const StunMessage& request, uint16_t code,
                            const StunKey* key) {
  buffer_.clear();
  StunBuilder answer(buffer_, StunClass::kError, request.transaction);
  answer.error_code(code);
  if (code == kStunUnknownAttribute)
    answer.unknown_attributes(std::span(request.unknown).first(request.unknown_count));
  answer.finish(key);
  listener_.send(path, buffer_);
}

void IceAgent::answer_unauthenticated(SteadyTime now, const UdpPath& path, const StunMessage& request,
                                      uint16_t code) {
  if (now - error_second_ >= base::seconds(1)) {
    error_second_ = now;
    error_answers_ = 0;
  }
  if (error_answers_ >= kErrorAnswersPerSecond) return;
  ++error_answers_;
  answer_error(path, request, code, nullptr);
}

const IceAgent::Path* IceAgent::find(const UdpPath& path) const {
  const auto found =
      std::find_if(paths_.begin(), paths_.end(), [&](const Path& p) { return p.path == path; });
  return found == paths_.end() ? nullptr : &*found;
}

bool IceAgent::validated(const UdpPath& path) const {
  return find(path) != nullptr;
}

IceAgent::Path& IceAgent::touch(SteadyTime now, const UdpPath& path, uint64_t generation) {
  last_check_ = now;
  auto* found = const_cast<Path*>(find(path));
  if (found == nullptr) {
    if (paths_.size() >= kMaxPaths) {
      const auto oldest =
          std::min_element(paths_.begin(), paths_.end(), [this](const Path& a, const Path& b) {
            return std::pair(selected_ == a.path, a.last_check) <
                   std::pair(selected_ == b.path, b.last_check);
          });
      forget(static_cast<size_t>(oldest - paths_.begin()));
    }
    found = &paths_.emplace_back();
    found->path = path;
    found->generation = generation;
    listener_.on_validated(path);
  }
  found->last_check = now;
  if (found->generation < generation) {
    found->generation = generation;
    found->answered = false;
  }
  return *found;
}

void IceAgent::forget(size_t index) {
  const UdpPath path = paths_[index].path;
  paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(index));
  if (awaited_ == path) awaited_.reset();
  if (selected_ == path) {
    selected_.reset();
    listener_.on_unselected();
  }
  listener_.on_forgotten(path);
}

void IceAgent::nominate(const Path& path, uint64_t generation) {
  const bool is_current = generation == current_.number;
  // The one before the restart may not outdo a nomination after it.
  if (!is_current && awaited_) return;
  if (!checks_ || path.answered) {
    select(path.path, generation);
  } else if (is_current) {
    awaited_ = path.path;
  }
}

void IceAgent::select(const UdpPath& path, uint64_t generation) {
  awaited_.reset();
  if (selected_ != path) {
    selected_ = path;
    listener_.on_selected(path);
  }
  if (generation == current_.number) retire_previous();
}

base::Status IceAgent::add_remote_candidate(const IceCandidate& candidate) {
  if (!checks_ || (!candidate.ufrag.empty() && candidate.ufrag != current_.remote_ufrag)) return {};
  return checks_->add_candidate(candidate);
}

void IceAgent::restart(SteadyTime now, const IceCredentials& local, const IceCredentials& remote) {
  retire_previous();
  const uint64_t number = current_.number + 1;
  previous_ = std::move(current_);
  current_ = Generation(local, remote, number);
  restarted_ = now;
  last_check_ = now;
  awaited_.reset();
  make_check_list(local, remote, now);
}

void IceAgent::retire_previous() {
  if (!previous_) return;
  const std::string ufrag = std::move(previous_->local_ufrag);
  previous_.reset();
  listener_.on_ufrag_retired(ufrag);
}

SteadyTime IceAgent::next_deadline() const {
  SteadyTime deadline = last_check_ + kConsent;
  for (const Path& path : paths_) deadline = std::min(deadline, path.last_check + kConsent);
  if (previous_) deadline = std::min(deadline, restarted_ + kOldCredentials);
  if (checks_) deadline = std::min(deadline, checks_->next_deadline());
  return deadline;
}

void IceAgent::on_time(SteadyTime now) {
  for (size_t i = paths_.size(); i-- > 0;) {
    if (now - paths_[i].last_check >= kConsent) forget(i);
  }
  if (previous_ && now - restarted_ >= kOldCredentials) retire_previous();
  if (checks_ && !expired(now)) checks_->on_time(now);
}

}  // namespace miharu::webrtc
