#include "net/http_client.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <linux/sockios.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/check.h"
#include "base/text.h"

namespace miharu::net {
namespace {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using base::Errc;
using ErrorCode = boost::system::error_code;
using tcp = asio::ip::tcp;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kReadBytes = 16 << 10;
constexpr uint32_t kMostHeaderBytes = 16 << 10;
constexpr std::chrono::milliseconds kWatch{500};

// Of a body that can wait: what the kernel takes of it and cannot send yet; and, while the gate is narrow,
// what is not acknowledged either (it makes about half more of this): a quarter of a second at 5 Mbit/s.
constexpr int kMostUnsentBytes = 128 << 10;
constexpr int kNarrowBytes = 96 << 10;
constexpr size_t kHeldPieceBytes = 4 << 10;

// Refused by a kernel that does not know it: then bodies wait behind more.
void limit_unsent(tcp::socket& socket) {
  const int bytes = kMostUnsentBytes;
  static_cast<void>(
      ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes));
}

}  // namespace

base::Result<std::shared_ptr<asio::ssl::context>> make_client_tls(const std::filesystem::path& ca_file) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  ErrorCode ec;
  context->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, ec);
  if (!ec) context->set_verify_mode(asio::ssl::verify_peer, ec);
  if (ec) return base::fail(Errc::kInternal, "TLS could not be set up: " + ec.message());
  if (ca_file.empty()) {
    context->set_default_verify_paths(ec);
  } else {
    context->load_verify_file(ca_file.string(), ec);
  }
  if (ec) {
    return base::fail(Errc::kInvalid,
                      fmt::format("{}: no certificates of authorities could be read: {}",
                                  ca_file.empty() ? "the system" : ca_file.string(), ec.message()));
  }
  return context;
}

std::string_view HttpReply::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (base::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

// Its operations hold it; once closed their completions do nothing.
class HttpClient::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(EventLoop& loop, Origin origin, HttpClientOptions options)
      : context_(loop.context()),
        origin_(std::move(origin)),
        options_(std::move(options)),
        resolver_(context_),
        watch_(context_),
        pause_(context_) {}

  void send(HttpClientRequest request, Done done);
  void drop();
  [[nodiscard]] bool busy() const { return done_ != nullptr; }
  [[nodiscard]] bool sent_all() const { return body_done_; }

 private:
  // What operations of the system may still touch after it was given up: they hold it.
  struct Link {
    explicit Link(asio::io_context& context) : socket(context) {}
    tcp::socket socket;
    std::optional<asio::ssl::stream<tcp::socket&>> tls;
    boost::beast::flat_buffer buffer;
    std::string head;
    std::vector<std::byte> piece;
    bool narrowed = false;
  };
  // Of operations that belong to an earlier step or link the end is not heard.
  template <class Function>
  auto guard(Function function) {
    return [self = shared_from_this(), link = link_, serial = serial_, function = std::move(function)](
               const ErrorCode& ec, auto... more) {
      if (self->serial_ == serial && self->done_) function(ec, more...);
    };
  }
  void resolve();
  void connect(size_t index);
  void bound_silence();
  void handshake(size_t index);
  void next_address(size_t index, base::Error error);
  [[nodiscard]] base::Error handshake_error(const ErrorCode& ec);
  [[nodiscard]] bool is_reusable();
  void exchange();
  void write_head();
  void begin_body();
  void next_piece();
  void write_piece();
  void hold();
  void await_turn();
  void write_some(size_t most);
  void read();
  void on_read(const ErrorCode& ec, size_t count);
  bool parse(bool at_end);
  void deliver();
  void fail(base::Error error);
  void finish(base::Result<HttpReply> result);
  void close();
  void watch();
  void progress() { last_progress_ = SteadyClock::now(); }
  [[nodiscard]] base::Error error(Errc code, std::string_view text) const {
    return {code, fmt::format("{}: {}", format_origin(origin_), text), -1};
  }
  [[nodiscard]] base::Error error_of(std::string_view doing, const ErrorCode& ec) const;

  asio::io_context& context_;
  const Origin origin_;
  const HttpClientOptions options_;
  tcp::resolver resolver_;
  asio::steady_timer watch_;
  asio::steady_timer pause_;  // until the next piece may be sent, or the server consented
  uint64_t serial_ = 0;
  std::vector<tcp::endpoint> addresses_;
  std::shared_ptr<Link> link_;  // null: not connected

  HttpClientRequest request_;
  Done done_;
  bool reused_ = false;    // this exchange began on a kept connection
  bool answered_ = false;  // a byte of the reply came
  bool resent_ = false;
  bool awaits_consent_ = false;
  bool paced_ = false;  // waits for the pacer
  bool held_ = false;   // waits for the gate
  bool body_done_ = false;
  size_t piece_at_ = 0;
  uint64_t body_at_ = 0;
  uint64_t body_bytes_ = 0;
  SteadyClock::time_point last_progress_;
  int unsent_ = 0;
  std::optional<beast_http::response_parser<beast_http::string_body>> parser_;
};

base::Error HttpClient::Connection::error_of(std::string_view doing, const ErrorCode& ec) const {
  if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated)
    return error(Errc::kClosed, "the server ended the connection");
  if (ec.category() == boost::system::system_category())
    return base::system_error(fmt::format("{}: {}", format_origin(origin_), doing), ec.value());
  return error(Errc::kIo, fmt::format("{}: {}", doing, ec.message()));
}

void HttpClient::Connection::send(HttpClientRequest request, Done done) {
  CHECK(!done_);
  request_ = std::move(request);
  done_ = std::move(done);
  resent_ = false;
  body_done_ = false;
  reused_ = link_ && is_reusable();
  ++serial_;
  progress();
  watch();
  // Whoever sends is never called back before send() is over.
  asio::post(context_, [run = guard([this](const ErrorCode&) { reused_ ? exchange() : resolve(); })] {
    run(ErrorCode{});
  });
}

// A server that closed the connection meanwhile has sent its end, which waits to be read.
bool HttpClient::Connection::is_reusable() {
  char byte = 0;
  const ssize_t count = ::recv(link_->socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void HttpClient::Connection::resolve() {
  close();
  resolver_.async_resolve(
      origin_.host, std::to_string(origin_.port),
      guard([this](const ErrorCode& ec, const tcp::resolver::results_type& results) {
        if (ec) {
          return fail(error(Errc::kNotFound, fmt::format("the name {} could not be resolved ({})",
                                                         origin_.host, ec.message())));
        }
        addresses_.clear();
        for (const auto& each : results) addresses_.push_back(each.endpoint());
        connect(0);
      }));
}

void HttpClient::Connection::connect(size_t index) {
  close();
  progress();
  link_ = std::make_shared<Link>(context_);
  pause_.expires_after(options_.connect);
  pause_.async_wait(guard([this, index](const ErrorCode& ec) {
    if (!ec) next_address(index, error(Errc::kTimeout, "no connection in time"));
  }));
  link_->socket.async_connect(addresses_[index], guard([this, index](const ErrorCode& ec) {
                                if (ec) return next_address(index, error_of("connect", ec));
                                ErrorCode ignored;
                                link_->socket.native_non_blocking(true, ignored);
                                link_->socket.set_option(tcp::no_delay(true), ignored);
                                if (options_.gate) limit_unsent(link_->socket);
                                bound_silence();
                                handshake(index);
                              }));
}

// Over a line that is cut TCP waits twice as long each time before it tries again: one that was away for 13 s
// would be found to be back after 25. Bytes that nobody acknowledges for half the time of a stall end the
// connection (tcp(7), TCP_USER_TIMEOUT).
void HttpClient::Connection::bound_silence() {
  const auto most = static_cast<unsigned>((options_.stall / 2).count());
  ::setsockopt(link_->socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof(most));
}

void HttpClient::Connection::handshake(size_t index) {
  if (!origin_.tls) return exchange();
  CHECK(options_.tls);
  link_->tls.emplace(link_->socket, *options_.tls);
  ErrorCode ignored;
  const bool is_address = (asio::ip::make_address(origin_.host, ignored), !ignored);
  if (!is_address) SSL_set_tlsext_host_name(link_->tls->native_handle(), origin_.host.c_str());
  link_->tls->set_verify_callback(asio::ssl::host_name_verification(origin_.host), ignored);
  link_->tls->async_handshake(asio::ssl::stream_base::client, guard([this, index](const ErrorCode& ec) {
                                if (!ec) return exchange();
                                next_address(index, handshake_error(ec));
                              }));
}

base::Error HttpClient::Connection::handshake_error(const ErrorCode& ec) {
  const long verified = SSL_get_verify_result(link_->tls->native_handle());
  if (ec.category() != asio::error::get_ssl_category() ||
      ERR_GET_REASON(static_cast<unsigned long>(ec.value())) != SSL_R_CERTIFICATE_VERIFY_FAILED)
    return error_of("TLS handshake", ec);
  return error(Errc::kRefused,
               fmt::format("its certificate is not trusted ({}); for an authority of your own name its "
                           "certificate in AWS_CA_BUNDLE",
                           verified == X509_V_OK ? "it is for another name"
                                                 : X509_verify_cert_error_string(verified)));
}

void HttpClient::Connection::next_address(size_t index, base::Error error) {
  ++serial_;
  if (index + 1 < addresses_.size()) return connect(index + 1);
  fail(std::move(error));
}

void HttpClient::Connection::exchange() {
  pause_.cancel();
  ++serial_;
  progress();
  answered_ = false;
  body_done_ = false;
  paced_ = false;
  held_ = false;
  body_at_ = 0;
  body_bytes_ = 0;
  unsent_ = 0;
  parser_.emplace();
  parser_->header_limit(kMostHeaderBytes);
  parser_->body_limit(request_.max_body_bytes);
  parser_->eager(true);
  if (request_.method == "HEAD") parser_->skip(true);
  if (const auto* text = std::get_if<std::string>(&request_.body)) body_bytes_ = text->size();
  if (const auto* file = std::get_if<FileBody>(&request_.body)) body_bytes_ = file->length;
  write_head();
  read();
}

void HttpClient::Connection::write_head() {
  link_->head =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request_.method, request_.target, host_field(origin_));
  for (const auto& [name, value] : request_.headers) link_->head += fmt::format("{}: {}\r\n", name, value);
  if (body_bytes_ > 0 || request_.method == "PUT" || request_.method == "POST")
    link_->head += fmt::format("Content-Length: {}\r\n", body_bytes_);
  awaits_consent_ = request_.expect_continue && body_bytes_ > 0;
  if (awaits_consent_) link_->head += "Expect: 100-continue\r\n";
  link_->head += "\r\n";
  auto done = guard([this](const ErrorCode& ec, size_t) {
    if (ec) return fail(error_of("send", ec));
    progress();
    if (!awaits_consent_) return begin_body();
    pause_.expires_after(options_.continue_wait);
    pause_.async_wait(guard([this](const ErrorCode& error) {
      if (!error && awaits_consent_) begin_body();
    }));
  });
  if (link_->tls) {
    asio::async_write(*link_->tls, asio::buffer(link_->head), std::move(done));
  } else {
    asio::async_write(link_->socket, asio::buffer(link_->head), std::move(done));
  }
}

void HttpClient::Connection::begin_body() {
  awaits_consent_ = false;
  pause_.cancel();
  if (request_.on_body && body_bytes_ > 0) request_.on_body();
  next_piece();
}

void HttpClient::Connection::next_piece() {
  Pacer* narrow = options_.gate && options_.gate->is_narrow() ? &options_.gate->narrow_pacer() : nullptr;
  uint64_t most = options_.pacer ? options_.pacer->piece_bytes() : uint64_t{256} << 10;
  // What has its time from a pacer is before everything that asks later.
  if (narrow) most = std::min((most + 3) / 4, narrow->piece_bytes());
  const size_t size = static_cast<size_t>(std::min(most, body_bytes_ - body_at_));
  body_done_ = size == 0;
  if (body_done_) return;
  link_->piece.resize(size);
  piece_at_ = 0;
  if (const auto* text = std::get_if<std::string>(&request_.body)) {
    std::memcpy(link_->piece.data(), text->data() + body_at_, size);
  } else {
    const FileBody& file = std::get<FileBody>(request_.body);
    if (auto read = file.file->read_at(file.offset + body_at_, link_->piece); !read)
      return fail(std::move(read.error()));
  }
  const auto now = SteadyClock::now();
  auto at = now;
  if (options_.pacer) at = options_.pacer->reserve(now, size);
  if (narrow) at = std::max(at, narrow->reserve(now, size));
  if (at <= now) return write_piece();
  paced_ = true;
  pause_.expires_at(at);
  pause_.async_wait(guard([this](const ErrorCode& ec) {
    if (ec) return;
    paced_ = false;
    progress();
    write_piece();
  }));
}

void HttpClient::Connection::write_piece() {
  if (options_.gate) {
    if (!options_.gate->may_send(this)) return hold();
    if (options_.gate->is_narrow() && !link_->narrowed) {
      ErrorCode ignored;
      link_->socket.set_option(asio::socket_base::send_buffer_size(kNarrowBytes), ignored);
      link_->narrowed = true;
    }
  }
  write_some(link_->piece.size());
}

void HttpClient::Connection::hold() {
  held_ = true;
  await_turn();
  pause_.expires_after(options_.longest_hold);
  pause_.async_wait(guard([this](const ErrorCode& ec) {
    if (ec || !held_) return;
    held_ = false;
    progress();
    write_some(kHeldPieceBytes);
  }));
}

void HttpClient::Connection::await_turn() {
  options_.gate->wait([weak = weak_from_this(), serial = serial_, at = body_at_] {
    const auto self = weak.lock();
    if (!self || self->serial_ != serial || !self->held_ || self->body_at_ != at) return;
    if (!self->options_.gate->may_send(self.get())) return self->await_turn();
    self->held_ = false;
    self->pause_.cancel();
    self->progress();
    self->write_piece();
  });
}

void HttpClient::Connection::write_some(size_t most) {
  const auto rest =
      asio::buffer(link_->piece.data() + piece_at_, std::min(most, link_->piece.size() - piece_at_));
  auto done = guard([this](const ErrorCode& ec, size_t count) {
    // The server may have answered and closed without reading to the end: its answer is what counts, and
    // reading ends the exchange in any case.
    if (ec) return;
    progress();
    piece_at_ += count;
    body_at_ += count;
    if (piece_at_ < link_->piece.size()) return write_piece();
    next_piece();
  });
  if (link_->tls) {
    link_->tls->async_write_some(rest, std::move(done));
  } else {
    link_->socket.async_write_some(rest, std::move(done));
  }
}

void HttpClient::Connection::read() {
  const auto space = link_->buffer.prepare(kReadBytes);
  auto done = guard([this](const ErrorCode& ec, size_t count) { on_read(ec, count); });
  if (link_->tls) {
    link_->tls->async_read_some(space, std::move(done));
  } else {
    link_->socket.async_read_some(space, std::move(done));
  }
}

void HttpClient::Connection::on_read(const ErrorCode& ec, size_t count) {
  if (ec) {
    const bool at_end = ec == asio::error::eof || ec == asio::ssl::error::stream_truncated;
    if (at_end && answered_ && parse(true)) return;
    if (!done_) return;
    base::Error why = error_of("receive", ec);
    if (answered_) why = error(why.code, "the connection ended in the middle of the reply");
    return fail(std::move(why));
  }
  progress();
  answered_ = true;
  link_->buffer.commit(count);
  if (!parse(false)) read();
}

// True when the exchange is over.
bool HttpClient::Connection::parse(bool at_end) {
  for (;;) {
    ErrorCode ec;
    link_->buffer.consume(parser_->put(link_->buffer.data(), ec));
    if (at_end && (!ec || ec == beast_http::error::need_more)) {
      ec = {};
      if (parser_->is_header_done() && !parser_->is_done()) parser_->put_eof(ec);
      if (ec || !parser_->is_done()) return false;
    }
    if (ec && ec != beast_http::error::need_more) {
      const bool large = ec == beast_http::error::body_limit || ec == beast_http::error::header_limit;
      fail(large ? error(Errc::kLimit, "the reply is larger than it may be")
                 : error(Errc::kMalformed, "the reply is not HTTP/1.1: " + ec.message()));
      return true;
    }
    if (!parser_->is_done()) return false;
    const unsigned status = parser_->get().result_int();
    if (status >= 200 || status == 101) {
      deliver();
      return true;
    }
    // Interim (RFC 9110 section 15.2): 100 is the consent, others mean nothing here.
    const bool consents = status == 100 && awaits_consent_;
    parser_.emplace();
    parser_->header_limit(kMostHeaderBytes);
    parser_->body_limit(request_.max_body_bytes);
    parser_->eager(true);
    if (request_.method == "HEAD") parser_->skip(true);
    if (consents) begin_body();
    if (!done_) return true;  // begin_body() failed
    if (link_->buffer.size() == 0) return false;
  }
}

void HttpClient::Connection::deliver() {
  HttpReply reply;
  auto message = parser_->release();
  reply.status = message.result_int();
  for (const auto& field : message) reply.headers.emplace_back(field.name_string(), field.value());
  reply.body = std::move(message.body());
  reply.resent = resent_;
  reply.sent_bytes = body_at_;
  // Half a body on the way, or bytes that nobody asked for: the next request gets a connection of its own.
  // A buffer that was made small does not grow by itself any more.
  const bool stays_small = link_->narrowed && !(options_.gate && options_.gate->is_narrow());
  if (!message.keep_alive() || !body_done_ || link_->buffer.size() > 0 || stays_small) close();
  finish(std::move(reply));
}

void HttpClient::Connection::fail(base::Error error) {
  // A file that went out whole may be being stored at this moment: when to try again is for the caller to
  // say.
  const bool served = body_done_ && std::holds_alternative<FileBody>(request_.body);
  close();
  if (reused_ && !answered_ && !resent_ && !served && error.code != Errc::kTimeout &&
      error.code != Errc::kTruncated) {
    reused_ = false;
    resent_ = true;
    return resolve();
  }
  finish(tl::unexpected(std::move(error)));
}

void HttpClient::Connection::finish(base::Result<HttpReply> result) {
  ++serial_;
  if (options_.gate) options_.gate->done(this);
  watch_.cancel();
  pause_.cancel();
  request_ = {};
  std::exchange(done_, nullptr)(std::move(result));
}

void HttpClient::Connection::close() {
  ++serial_;
  pause_.cancel();
  parser_.reset();
  if (!link_) return;
  ErrorCode ignored;
  link_->socket.close(ignored);
  link_.reset();
}

void HttpClient::Connection::drop() {
  done_ = nullptr;
  if (options_.gate) options_.gate->done(this);
  watch_.cancel();
  resolver_.cancel();
  close();
}

// Bytes that leave the socket's buffer are progress too: on a slow line that takes longer than filling it.
void HttpClient::Connection::watch() {
  watch_.expires_after(std::min(kWatch, options_.stall / 4 + std::chrono::milliseconds(1)));
  watch_.async_wait([self = shared_from_this()](const ErrorCode& ec) {
    if (ec || !self->done_) return;
    int unsent = 0;
    if (self->link_ && ::ioctl(self->link_->socket.native_handle(), SIOCOUTQ, &unsent) == 0) {
      if (unsent < self->unsent_) self->progress();
      self->unsent_ = unsent;
    }
    if (!self->paced_ && !self->held_ && SteadyClock::now() - self->last_progress_ > self->options_.stall)
      return self->fail(self->error(Errc::kTimeout, "nothing moved for too long"));
    self->watch();
  });
}

HttpClient::HttpClient(EventLoop& loop, Origin origin, HttpClientOptions options)
    : connection_(std::make_shared<Connection>(loop, std::move(origin), std::move(options))) {}

HttpClient::~HttpClient() {
  connection_->drop();
}

void HttpClient::send(HttpClientRequest request, Done done) {
  connection_->send(std::move(request), std::move(done));
}

bool HttpClient::busy() const {
  return connection_->busy();
}

bool HttpClient::sent_all() const {
  return connection_->sent_all();
}

}  // namespace miharu::net
