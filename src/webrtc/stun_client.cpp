#include "webrtc/stun_client.h"

#include <fmt/format.h>

#include "webrtc/ice_candidate.h"

namespace miharu::webrtc {

using base::Errc;
using base::SteadyTime;
using boost::asio::ip::udp;

StunClient::StunClient(const udp::endpoint& server, uint32_t tag, StunClientListener& listener,
                       SteadyTime now)
    : server_(server), tag_(tag), listener_(listener), deadline_(now) {}

void StunClient::on_time(SteadyTime now) {
  if (now < deadline_) return;
  if (!under_way_) {
    begin(now);
  } else if (attempts_ < kAttempts) {
    send(now);
  } else {
    fail(now, Errc::kTimeout, "no answer");
  }
}

void StunClient::begin(SteadyTime now) {
  under_way_ = true;
  transaction_ = make_transaction_id(tag_);
  attempts_ = 0;
  timeout_ = kFirstTimeout;
  buffer_.clear();
  StunBuilder(buffer_, StunClass::kRequest, transaction_).finish(nullptr);
  send(now);
}

void StunClient::send(SteadyTime now) {
  ++attempts_;
  deadline_ = now + (attempts_ < kAttempts ? timeout_ : kFirstTimeout * kLastTimeouts);
  timeout_ *= 2;
  listener_.send_to_server(buffer_);
}

void StunClient::end(SteadyTime now) {
  under_way_ = false;
  deadline_ = now + kRefresh;
}

void StunClient::fail(SteadyTime now, Errc code, const std::string& text) {
  end(now);
  mapped_.reset();
  listener_.on_failed(
      {code, fmt::format("STUN server {} port {}: {}", server_.address().to_string(), server_.port(), text),
       -1});
}

bool StunClient::on_datagram(SteadyTime now, const udp::endpoint& from, base::ByteView bytes) {
  if (!under_way_ || from != server_) return false;
  const auto answer = parse_stun(bytes);
  if (!answer || answer->transaction != transaction_) return false;
  if (answer->type != StunClass::kSuccess && answer->type != StunClass::kError) return false;

  if (answer->type == StunClass::kError) {
    // Its reason is anybody's text: not told.
    fail(now, Errc::kRefused, answer->error ? fmt::format("error {}", answer->error->code) : "error");
  } else if (answer->unknown_count != 0) {  // RFC 8489 section 6.3.3
    fail(now, Errc::kMalformed,
         fmt::format("answer has attribute {:#06x}, which must be understood", answer->unknown[0]));
  } else if (!answer->mapped || !is_usable(*answer->mapped)) {
    fail(now, Errc::kMalformed, "answer tells no address");
  } else {
    end(now);
    if (mapped_ != answer->mapped) {
      mapped_ = answer->mapped;
      listener_.on_mapped(*mapped_);
    }
  }
  return true;
}

}  // namespace miharu::webrtc
