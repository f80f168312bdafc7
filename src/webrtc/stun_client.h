// Asks a STUN server for the address that the world sees us under (RFC 8489 section 7.1, RFC 8445 section
// 5.1.1.2), and goes on asking, which keeps the binding of the NAT.
#pragma once

#include <optional>

#include <boost/asio/ip/udp.hpp>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "webrtc/stun.h"

namespace miharu::webrtc {

// Called from within the calls of StunClient, which must live on during them.
class StunClientListener {
 public:
  virtual ~StunClientListener() = default;
  // A datagram for the server, by the socket whose address is wanted. `bytes` are valid during the call.
  virtual void send_to_server(base::ByteView bytes) = 0;
  // The first answer, and each later one that tells another address.
  virtual void on_mapped(const boost::asio::ip::udp::endpoint& address) = 0;
  // No answer in 39.5 s (kTimeout), or one that says no (kRefused) or nothing of use (kMalformed). What was
  // mapped before counts no more. It is tried again after the usual pause.
  virtual void on_failed(const base::Error& error) = 0;
};

// No socket, no clock: `now` must not go back. One thread; the listener must outlive it.
class StunClient {
 public:
  static constexpr base::milliseconds kFirstTimeout{500};  // doubled each time
  static constexpr unsigned kAttempts = 7;                 // Rc
  static constexpr unsigned kLastTimeouts = 16;  // Rm: first timeouts to wait after the last attempt
  static constexpr base::seconds kRefresh{20};

  // `tag` becomes part of transaction ids (`make_transaction_id`). Begins at the first on_time().
  StunClient(const boost::asio::ip::udp::endpoint& server, uint32_t tag, StunClientListener& listener,
             base::SteadyTime now);

  // Whether the datagram was an answer for this client. Only one from the server's own endpoint with the id
  // of the transaction under way counts; it must be valid STUN, with a right FINGERPRINT or none.
  bool on_datagram(base::SteadyTime now, const boost::asio::ip::udp::endpoint& from, base::ByteView bytes);

  [[nodiscard]] const std::optional<boost::asio::ip::udp::endpoint>& mapped() const { return mapped_; }
  [[nodiscard]] const boost::asio::ip::udp::endpoint& server() const { return server_; }

  [[nodiscard]] base::SteadyTime next_deadline() const { return deadline_; }
  void on_time(base::SteadyTime now);

 private:
  void begin(base::SteadyTime now);
  void send(base::SteadyTime now);
  void end(base::SteadyTime now);
  void fail(base::SteadyTime now, base::Errc code, const std::string& text);

  boost::asio::ip::udp::endpoint server_;
  uint32_t tag_;
  StunClientListener& listener_;
  std::optional<boost::asio::ip::udp::endpoint> mapped_;
  bool under_way_ = false;
  StunTransactionId transaction_{};
  unsigned attempts_ = 0;
  base::milliseconds timeout_{};
  base::SteadyTime deadline_;
  base::ByteVector buffer_;
};

}  // namespace miharu::webrtc
