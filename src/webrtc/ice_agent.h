// The ICE agent of one viewer (RFC 8445): always the controlled side, one component, one UDP port.
//
// What is answered. A request that has a right FINGERPRINT, this session's USERNAME, a right
// MESSAGE-INTEGRITY and PRIORITY gets a success response and is the only kind that makes a path or nominates.
// Authenticated ones that break another rule get 400 (no PRIORITY), 420 (unknown attribute) or 487 (says that
// it is controlled too: we never take the controlling role, our tie-breaker counts as the smallest). Without
// a right MESSAGE-INTEGRITY there is a 400 or 401 of 36 bytes, never more than the request had, ten in a
// second at most; without a right FINGERPRINT or with another USERNAME there is silence.
//
// Whose consent. A path counts as validated for 30 s after each authenticated check that came by it (or
// answer to a check of ours), and media may go there for as long (RFC 7675). The session has expired when no
// path has one any more.
//
// Memory: kMaxPaths paths, two generations of credentials, and with `sends_checks` a list of kMaxPairs pairs
// (ice_check_list.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/udp.hpp>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/udp_path.h"
#include "webrtc/ice_candidate.h"
#include "webrtc/ice_check_list.h"
#include "webrtc/ice_credentials.h"
#include "webrtc/stun.h"

namespace miharu::webrtc {

// Called from within the calls of IceAgent, which must live on during them; may ask the agent, not change it.
class IceListener {
 public:
  virtual ~IceListener() = default;
  // `bytes` are valid during the call.
  virtual void send(const net::UdpPath& path, base::ByteView bytes) = 0;
  // Media goes by this path from now on. Only when it is another one than before.
  virtual void on_selected(const net::UdpPath& path) = 0;
  // Consent for the selected path is gone: media must stop until another one is selected.
  virtual void on_unselected() = 0;
  // For the table that leads other datagrams (DTLS, SRTCP) to this session.
  virtual void on_validated(const net::UdpPath& path) = 0;
  virtual void on_forgotten(const net::UdpPath& path) = 0;
  // After a restart: requests to this ufrag of ours are not taken any more.
  virtual void on_ufrag_retired(std::string_view ufrag) = 0;
  // The answer to IceAgent::probe(), and what it was given.
  virtual void on_probed(uint32_t id, base::nanoseconds round_trip) = 0;
};

struct IceAgentConfig {
  IceCredentials local;
  IceCredentials remote;  // checked by check_ice_credentials
  // False: ICE-lite behaviour, enough on an address that viewers reach. True, behind a NAT: sends checks to
  // the viewer's candidates, so that a hole is punched towards it or its TURN server, and takes a nomination
  // when its own check of that path was answered (RFC 8445 section 7.3.1.5).
  bool sends_checks = false;
  std::vector<boost::asio::ip::address> local_addresses;  // to send checks from; the first kMaxLocalAddresses
  uint32_t transaction_tag = 0;                           // of make_transaction_id
};

// What became of a datagram: for counters.
enum class IceVerdict : uint8_t {
  kAccepted,         // an authenticated request, answered with success
  kAnswer,           // of a check or probe of ours
  kMalformed,        // dropped
  kNoFingerprint,    // dropped
  kWrongUsername,    // dropped: another session's, or none
  kUnauthenticated,  // no or wrong MESSAGE-INTEGRITY: 400 or 401, or dropped
  kBadRequest,       // authenticated, answered with 400 or 420
  kRoleConflict,     // authenticated, answered with 487
  kUnexpected,       // dropped: an indication, an answer to nothing, or one with a wrong signature
};
std::string_view name_of(IceVerdict verdict);

// No socket, no clock: `now` must not go back. One thread; the listener must outlive it.
class IceAgent {
 public:
  static constexpr size_t kMaxPaths = 16;              // beyond, the one checked longest ago is forgotten
  static constexpr base::seconds kConsent{30};         // RFC 7675 section 5.1
  static constexpr base::seconds kOldCredentials{30};  // they are taken for so long after a restart at most
  static constexpr unsigned kErrorAnswersPerSecond = 10;
  static constexpr size_t kMaxProbes = 4;  // under way; the oldest is forgotten

  IceAgent(IceAgentConfig config, IceListener& listener, base::SteadyTime now);

  // A datagram for which is_stun() is true. IPv4 addresses of `path` as such, not as mapped into IPv6: the
  // viewer is told what stands there.
  IceVerdict on_datagram(base::SteadyTime now, const net::UdpPath& path, base::ByteView bytes);

  // A candidate of the viewer, from its description or trickled. Ignored when we send no checks, and when it
  // is of another generation. Error: kLimit, beyond IceCheckList::kMaxCandidates.
  base::Status add_remote_candidate(const IceCandidate& candidate);

  // ICE restart (RFC 8445 section 9). The selected path carries media, and the credentials before are taken,
  // until a path is nominated by the new ones, kOldCredentials have passed, or the next restart. Candidates
  // are to be given again.
  void restart(base::SteadyTime now, const IceCredentials& local, const IceCredentials& remote);

  // Asks the viewer by the selected path, to learn how long that takes now: a check that decides nothing
  // (RFC 8445 has it answered like any other, also by those who know us as ICE-lite). Nothing where no path
  // is selected.
  void probe(base::SteadyTime now, uint32_t id);

  // Where media goes, if it may go anywhere.
  [[nodiscard]] const std::optional<net::UdpPath>& selected() const { return selected_; }
  // Whether DTLS may be taken from there: after the first authenticated check, before nomination.
  [[nodiscard]] bool validated(const net::UdpPath& path) const;
  // No authenticated check by any path for kConsent (from the start or the restart on): end the session.
  [[nodiscard]] bool expired(base::SteadyTime now) const { return now - last_check_ >= kConsent; }

  [[nodiscard]] std::string_view local_ufrag() const { return current_.local_ufrag; }
  [[nodiscard]] bool restarting() const { return previous_.has_value(); }

  // on_time() is to be called at next_deadline() or soon after; earlier is harmless. Of an expired session it
  // is in the past.
  [[nodiscard]] base::SteadyTime next_deadline() const;
  void on_time(base::SteadyTime now);

 private:
  struct Generation {
    Generation(const IceCredentials& local, const IceCredentials& remote, uint64_t number);

    std::string local_ufrag;
    std::string username;  // of requests to us: local:remote
    std::string remote_ufrag;
    StunKey key;                  // our password: signs requests to us and our answers
    std::string remote_username;  // of requests to the viewer
    StunKey remote_key;
    uint64_t number;
  };
  struct Path {
    net::UdpPath path;
    base::SteadyTime last_check;
    uint64_t generation = 0;  // the newest by which it was checked
    bool answered = false;    // a check of ours, in that generation
  };

  IceVerdict on_request(base::SteadyTime now, const net::UdpPath& path, const StunMessage& request);
  struct Probe {
    StunTransactionId transaction;
    net::UdpPath path;
    base::SteadyTime sent;
    uint32_t id;
  };

  IceVerdict on_answer(base::SteadyTime now, const net::UdpPath& path, const StunMessage& answer);
  void answer_success(const net::UdpPath& path, const StunMessage& request, const StunKey& key);
  void answer_error(const net::UdpPath& path, const StunMessage& request, uint16_t code, const StunKey* key);
  void answer_unauthenticated(base::SteadyTime now, const net::UdpPath& path, const StunMessage& request,
                              uint16_t code);
  void make_check_list(const IceCredentials& local, const IceCredentials& remote, base::SteadyTime now);
  [[nodiscard]] const Path* find(const net::UdpPath& path) const;
  Path& touch(base::SteadyTime now, const net::UdpPath& path, uint64_t generation);
  void forget(size_t index);
  void nominate(const Path& path, uint64_t generation);
  void select(const net::UdpPath& path, uint64_t generation);
  void retire_previous();

  IceListener& listener_;
  bool sends_checks_;
  std::vector<boost::asio::ip::address> local_addresses_;
  uint32_t transaction_tag_;
  Generation current_;
  std::optional<Generation> previous_;
  base::SteadyTime restarted_;
  std::unique_ptr<IceCheckList> checks_;  // of the current generation, when we send any
  std::vector<Path> paths_;
  std::vector<Probe> probes_;
  std::optional<net::UdpPath> selected_;
  std::optional<net::UdpPath> awaited_;  // nominated by the viewer, our own check is not answered yet
  base::SteadyTime last_check_;
  base::SteadyTime error_second_;  // of error_answers_
  unsigned error_answers_ = 0;
  base::ByteVector buffer_;
};

}  // namespace miharu::webrtc
