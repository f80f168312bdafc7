#include "net/http_connection.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include "base/log.h"
#include "base/text.h"

namespace miharu::net {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;

namespace {

constexpr size_t kReadBytes = 8 << 10;
constexpr uint64_t kSendfileBytes =
    1 << 20;  // in one go, so that a fast client does not keep the loop from the others
constexpr uint64_t kTlsChunkBytes = 64 << 10;
constexpr uint64_t kPullBytes = 1 << 20;  // what a body that is elsewhere holds in memory for a client
constexpr size_t kDiscardBytes = 1 << 20;
constexpr std::chrono::seconds kLingerTime{2};

std::string_view reason_of(unsigned status) {
  const auto reason = beast_http::obsolete_reason(beast_http::int_to_status(status));
  return {reason.data(), reason.size()};
}

// A header field that a handler built from somebody's text must not become two.
void append_clean(std::string& out, std::string_view text) {
  for (const char c : text) out.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
}

bool has_no_body(unsigned status) {
  return status < 200 || status == 204 || status == 304;
}

class OpenStream final : public HttpExchange::Stream {
 public:
  OpenStream(std::weak_ptr<HttpServerCore> core, std::weak_ptr<HttpConnection> connection,
             std::shared_ptr<HttpStreamState> state, size_t limit_bytes)
      : core_(std::move(core)),
        connection_(std::move(connection)),
        state_(std::move(state)),
        limit_bytes_(limit_bytes) {}

  ~OpenStream() override {
    {
      std::lock_guard lock(state_->mutex);
      state_->ended = true;
    }
    flush();
  }

  bool write(std::string text) override {
    {
      std::lock_guard lock(state_->mutex);
      if (state_->gone || state_->in_flight + state_->pending.size() + text.size() > limit_bytes_)
        return false;
      state_->pending += text;
      if (std::exchange(state_->flush_posted, true)) return true;
    }
    flush();
    return true;
  }

 private:
  void flush() {
    const auto core = core_.lock();
    if (!core) return;
    core->run([weak = connection_] {
      if (const auto connection = weak.lock()) connection->flush_stream();
    });
  }

  const std::weak_ptr<HttpServerCore> core_;
  const std::weak_ptr<HttpConnection> connection_;
  const std::shared_ptr<HttpStreamState> state_;
  const size_t limit_bytes_;
};

class Exchange final : public HttpExchange {
 public:
  Exchange(const std::shared_ptr<HttpServerCore>& core, std::weak_ptr<HttpConnection> connection,
           uint64_t serial)
      : core_(core), connection_(std::move(connection)), serial_(serial) {}

  ~Exchange() override {
    if (!answered_) respond(problem(500, "The request was dropped without an answer."));
  }

  void respond(HttpResponse response) override {
    if (answered_.exchange(true)) return;
    const auto core = core_.lock();
    if (!core) return;
    core->run([weak = connection_, serial = serial_, answer = std::move(response)]() mutable {
      if (const auto connection = weak.lock()) connection->respond(serial, std::move(answer));
    });
  }

  std::shared_ptr<HttpExchange::Stream> stream(unsigned status, HttpHeaders headers) override {
    auto state = std::make_shared<HttpStreamState>();
    const auto core = core_.lock();
    if (answered_.exchange(true) || !core) {
      state->gone = true;
      return std::make_shared<OpenStream>(core_, std::weak_ptr<HttpConnection>{}, state, 0);
    }
    core->run([weak = connection_, serial = serial_, status, fields = std::move(headers), state]() mutable {
      const auto connection = weak.lock();
      if (connection) {
        connection->start_stream(serial, status, fields, std::move(state));
      } else {
        std::lock_guard lock(state->mutex);
        state->gone = true;
      }
    });
    return std::make_shared<OpenStream>(core_, connection_, state, core->options.limits.stream_bytes);
  }

 private:
  const std::weak_ptr<HttpServerCore> core_;
  const std::weak_ptr<HttpConnection> connection_;
  const uint64_t serial_;
  std::atomic<bool> answered_{false};
};

}  // namespace

std::string_view HttpServerCore::date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_at_) {
    constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm tm{};
    ::gmtime_r(&now, &tm);
    date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<size_t>(tm.tm_wday)],
                        tm.tm_mday, kMonths[static_cast<size_t>(tm.tm_mon)], tm.tm_year + 1900, tm.tm_hour,
                        tm.tm_min, tm.tm_sec);
    date_at_ = now;
  }
  return date_;
}

HttpConnection::HttpConnection(std::shared_ptr<HttpServerCore> core, asio::ip::tcp::socket socket,
                               std::string remote)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      deadline_(core_->loop.context()),
      remote_(std::move(remote)),
      buffer_(core_->options.limits.header_bytes + 2 * kReadBytes) {
  if (core_->tls) tls_.emplace(socket_, *core_->tls);
}

HttpConnection::~HttpConnection() = default;

void HttpConnection::start() {
  ErrorCode ignored;
  socket_.native_non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (!tls_) {
    next_request(core_->options.deadlines.header);
    return;
  }
  arm(core_->options.deadlines.header);
  tls_->async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](const ErrorCode& ec) {
    if (self->state_ == State::kClosed) return;
    if (ec) return self->close();
    self->next_request(self->core_->options.deadlines.header);
  });
}

void HttpConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  disarm();
  ErrorCode ignored;
  socket_.close(ignored);
  files_.clear();
  pulled_ = {};
  if (stream_) {
    std::lock_guard lock(stream_->mutex);
    stream_->gone = true;
  }
  core_->open.fetch_sub(1);
  const auto count = core_->per_remote.find(remote_);
  if (count != core_->per_remote.end() && --count->second == 0) core_->per_remote.erase(count);
  core_->connections.erase(this);  // may be the last reference but for the caller's
}

void HttpConnection::arm(std::chrono::milliseconds duration) {
  deadline_.expires_after(duration);
  deadline_.async_wait([weak = weak_from_this()](const ErrorCode& ec) {
    const auto self = weak.lock();
    if (!ec && self && self->deadline_.expiry() <= std::chrono::steady_clock::now()) self->on_deadline();
  });
}

void HttpConnection::disarm() {
  deadline_.expires_at(std::chrono::steady_clock::time_point::max());
}

void HttpConnection::on_deadline() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kHeader || state_ == State::kBody) {
    if (!tls_) {
      constexpr std::string_view kTimeout =
          "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      // Best effort: nothing else was sent on this connection, so the socket has room.
      [[maybe_unused]] const ssize_t sent =
          ::send(socket_.native_handle(), kTimeout.data(), kTimeout.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }
  if (state_ != State::kIdle && state_ != State::kLingering) core_->timeouts.fetch_add(1);
  close();
}

void HttpConnection::next_request(std::chrono::milliseconds patience) {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(core_->options.limits.header_bytes));
  parser_->body_limit(core_->options.limits.body_bytes);
  parser_->eager(false);
  if (buffer_.size() == 0) {
    buffer_.shrink_to_fit();
    state_ = State::kIdle;
    arm(patience);
    read();
    return;
  }
  state_ = State::kHeader;
  arm(core_->options.deadlines.header);
  parse();
}

void HttpConnection::read() {
  const size_t room = std::min(kReadBytes, buffer_.max_size() - buffer_.size());
  if (room == 0) return reject(431, "The request's header is too large.");
  const auto space = buffer_.prepare(room);
  auto done = [self = shared_from_this()](const ErrorCode& ec, size_t count) { self->on_read(ec, count); };
  if (tls_) {
    tls_->async_read_some(space, std::move(done));
  } else {
    socket_.async_read_some(space, std::move(done));
  }
}

void HttpConnection::on_read(const ErrorCode& ec, size_t count) {
  if (state_ == State::kClosed) return;
  if (ec) return close();
  buffer_.commit(count);
  if (state_ == State::kIdle) {
    state_ = State::kHeader;
    arm(core_->options.deadlines.header);
  }
  parse();
}

void HttpConnection::parse() {
  for (;;) {
    ErrorCode ec;
    const size_t used = parser_->put(buffer_.data(), ec);
    buffer_.consume(used);
    if (ec && ec != beast_http::error::need_more) {
      if (ec == beast_http::error::header_limit) return reject(431, "The request's header is too large.");
      if (ec == beast_http::error::body_limit) return reject(413, "The request's body is too large.");
      return reject(400, "The request is not well-formed HTTP/1.1: " + ec.message() + ".");
    }
    if (state_ == State::kHeader && parser_->is_header_done()) {
      if (!accept_header()) return;
      state_ = State::kBody;
      arm(core_->options.deadlines.body);
      parser_->eager(true);
    }
    if (parser_->is_done()) return dispatch();
    if (ec || used == 0 || buffer_.size() == 0) return read();
  }
}

bool HttpConnection::accept_header() {
  const auto& message = parser_->get();
  const auto refuse = [this](unsigned status, std::string_view detail) {
    reject(status, detail);
    return false;
  };
  if (message.target().size() > core_->options.limits.uri_bytes)
    return refuse(414, "The address is too long.");
  // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
  const size_t hosts = message.count(beast_http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() >= 11))
    return refuse(400, "The request needs one Host field.");
  auto target = parse_target({message.target().data(), message.target().size()});
  if (!target) return refuse(400, target.error().text);
  target_ = std::move(*target);

  const auto expect = message[beast_http::field::expect];
  if (base::equals_ignoring_case({expect.data(), expect.size()}, "100-continue") && message.version() >= 11 &&
      !tls_ && !parser_->is_done()) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // Best effort, as a client may not wait for it for ever (RFC 9110 section 10.1.1).
    [[maybe_unused]] const ssize_t sent =
        ::send(socket_.native_handle(), kContinue.data(), kContinue.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  return true;
}

void HttpConnection::dispatch() {
  HttpRequest request;
  auto message = parser_->release();
  keep_alive_ = message.keep_alive();
  http_1_0_ = message.version() < 11;
  request.method = std::string(message.method_string());
  head_only_ = request.method == "HEAD";
  request.path = std::move(target_.path);
  request.query = std::move(target_.query);
  request.body = std::move(message.body());
  request.remote = remote_;
  request.secure = tls_.has_value();
  for (const auto& field : message) request.headers.emplace_back(field.name_string(), field.value());
  parser_.reset();

  state_ = State::kHandling;
  disarm();
  core_->requests.fetch_add(1);
  const uint64_t serial = ++serial_;
  const auto self = shared_from_this();
  {
    auto exchange = std::make_shared<Exchange>(core_, self, serial);
    try {
      core_->handler(std::move(request), exchange);
    } catch (const std::exception& error) {
      spdlog::error("http: a handler threw: {}", error.what());
      exchange->respond(problem(500, "The server failed to answer; its log says why."));
    }
  }
  if (serial_ == serial && (state_ == State::kHandling || state_ == State::kStreaming)) watch_for_hang_up();
}

// Frees what a client that went away holds, while there is nothing to read or write that would tell.
void HttpConnection::watch_for_hang_up() {
  if (std::exchange(watching_, true)) return;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const ErrorCode& ec) {
    self->watching_ = false;
    if (ec || (self->state_ != State::kHandling && self->state_ != State::kStreaming)) return;
    char byte = 0;
    const ssize_t count = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return self->close();
    if (count < 0) self->watch_for_hang_up();  // else a pipelined request: it waits for its turn
  });
}

void HttpConnection::reject(unsigned status, std::string_view detail) {
  core_->bad_requests.fetch_add(1);
  keep_alive_ = false;
  head_only_ = false;
  state_ = State::kHandling;
  respond(++serial_, problem(status, detail));
}

void HttpConnection::put_head(unsigned status, const HttpHeaders& headers) {
  head_ = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status, reason_of(status), core_->date());
  for (const auto& [name, value] : headers) {
    append_clean(head_, name);
    head_ += ": ";
    append_clean(head_, value);
    head_ += "\r\n";
  }
  if (!keep_alive_) {
    head_ += "Connection: close\r\n";
  } else if (http_1_0_) {
    head_ += "Connection: keep-alive\r\n";
  }
  memory_sent_ = 0;
}

void HttpConnection::respond(uint64_t serial, HttpResponse response) {
  if (serial != serial_ || state_ != State::kHandling) return;
  uint64_t length = 0;
  body_ = nullptr;
  files_.clear();
  file_ = 0;
  pulled_ = {};
  if (auto* text = std::get_if<std::string>(&response.body)) {
    body_ = std::make_shared<const std::string>(std::move(*text));
  } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) {
    body_ = std::move(*shared);
  } else if (auto* files = std::get_if<std::vector<FileBody>>(&response.body)) {
    files_ = std::move(*files);
  } else if (auto* pulled = std::get_if<PulledBody>(&response.body)) {
    pulled_ = std::move(*pulled);
  }
  if (body_) length += body_->size();
  for (const FileBody& piece : files_) length += piece.length;
  length += pulled_.length;

  put_head(response.status, response.headers);
  if (!has_no_body(response.status)) head_ += fmt::format("Content-Length: {}\r\n", length);
  head_ += "\r\n";
  if (head_only_ || has_no_body(response.status)) {
    body_ = nullptr;
    files_.clear();
    pulled_ = {};
  }
  state_ = State::kWriting;
  arm(core_->options.deadlines.write);
  write_memory();
}

void HttpConnection::start_stream(uint64_t serial, unsigned status, const HttpHeaders& headers,
                                  std::shared_ptr<HttpStreamState> stream) {
  if (serial != serial_ || state_ != State::kHandling) {
    std::lock_guard lock(stream->mutex);
    stream->gone = true;
    return;
  }
  if (http_1_0_) keep_alive_ = false;  // no chunks in HTTP/1.0: the end of the connection ends the body
  put_head(status, headers);
  if (!http_1_0_) head_ += "Transfer-Encoding: chunked\r\n";
  head_ += "\r\n";
  body_ = nullptr;
  if (head_only_) {
    {
      std::lock_guard lock(stream->mutex);
      stream->gone = true;
    }
    state_ = State::kWriting;
  } else {
    state_ = State::kStreaming;
    stream_ = std::move(stream);
    stream_writing_ = true;
    stream_ending_ = false;
  }
  arm(core_->options.deadlines.write);
  write_memory();
}

void HttpConnection::flush_stream() {
  if (state_ != State::kStreaming || stream_writing_ || stream_ending_) return;
  {
    std::lock_guard lock(stream_->mutex);
    stream_->flush_posted = false;
    head_.clear();
    if (!stream_->pending.empty()) {
      stream_->in_flight = stream_->pending.size();
      if (http_1_0_) {
        head_ = std::move(stream_->pending);
      } else {
        head_ = fmt::format("{:x}\r\n{}\r\n", stream_->pending.size(), stream_->pending);
      }
      stream_->pending.clear();
    } else if (!stream_->ended) {
      disarm();
      return;
    } else {
      stream_ending_ = true;
      if (!http_1_0_) head_ = "0\r\n\r\n";
    }
  }
  memory_sent_ = 0;
  stream_writing_ = true;
  arm(core_->options.deadlines.write);
  write_memory();
}

void HttpConnection::write_memory() {
  const size_t body_size = body_ ? body_->size() : 0;
  if (memory_sent_ == head_.size() + body_size) return write_files();
  const size_t of_head = std::min(memory_sent_, head_.size());
  const std::array<asio::const_buffer, 2> buffers{
      asio::buffer(head_) + of_head,
      body_ ? asio::buffer(*body_) + (memory_sent_ - of_head) : asio::const_buffer{}};
  auto done = [self = shared_from_this()](const ErrorCode& ec, size_t count) {
    self->on_memory_written(ec, count);
  };
  if (tls_) {
    tls_->async_write_some(buffers, std::move(done));
  } else {
    socket_.async_send(buffers, file_ < files_.size() ? MSG_MORE : 0, std::move(done));
  }
}

void HttpConnection::on_memory_written(const ErrorCode& ec, size_t count) {
  if (state_ == State::kClosed) return;
  if (ec) return close();
  memory_sent_ += count;
  core_->bytes_sent.fetch_add(count, std::memory_order_relaxed);
  arm(core_->options.deadlines.write);
  write_memory();
}

void HttpConnection::write_files() {
  while (file_ < files_.size() && files_[file_].length == 0) files_[file_++].file = nullptr;
  if (file_ == files_.size()) return pulled_.length > 0 ? pull() : on_written();
  if (!tls_) return send_file();

  FileBody& piece = files_[file_];
  head_.resize(static_cast<size_t>(std::min(piece.length, kTlsChunkBytes)));
  if (const auto read = piece.file->read_at(piece.offset, std::as_writable_bytes(std::span(head_))); !read) {
    spdlog::warn("http: a file that is being sent cannot be read: {}", read.error().to_string());
    return close();
  }
  piece.offset += head_.size();
  piece.length -= head_.size();
  body_ = nullptr;
  memory_sent_ = 0;
  write_memory();
}

void HttpConnection::send_file() {
  FileBody& piece = files_[file_];
  auto offset = static_cast<off_t>(piece.offset);
  const auto count = static_cast<size_t>(std::min(piece.length, kSendfileBytes));
  const ssize_t sent = ::sendfile(socket_.native_handle(), piece.file->fd(), &offset, count);
  const auto go_on = [self = shared_from_this()] {
    if (self->state_ == State::kWriting) self->write_files();
  };
  if (sent > 0) {
    piece.offset += static_cast<uint64_t>(sent);
    piece.length -= static_cast<uint64_t>(sent);
    core_->bytes_sent.fetch_add(static_cast<uint64_t>(sent), std::memory_order_relaxed);
    arm(core_->options.deadlines.write);
    core_->loop.post(go_on);
  } else if (sent < 0 && errno == EINTR) {
    core_->loop.post(go_on);
  } else if (sent < 0 && errno == EAGAIN) {
    socket_.async_wait(asio::ip::tcp::socket::wait_write,
                       [go_on, self = shared_from_this()](const ErrorCode& ec) {
                         if (!ec) return go_on();
                         self->close();
                       });
  } else {
    // The length is promised: only the end of the connection can tell the client that there is less.
    if (sent == 0)
      spdlog::warn("http: a file that is being sent is {} bytes shorter than it was", piece.length);
    close();
  }
}

void HttpConnection::pull() {
  disarm();  // whoever fetches has deadlines of its own
  const uint64_t length = std::min(pulled_.length, kPullBytes);
  pulled_.pull(pulled_.offset, length,
               [core = std::weak_ptr(core_), weak = weak_from_this(),
                serial = serial_](base::Result<std::string> piece) {
                 const auto alive = core.lock();
                 if (!alive) return;
                 alive->run([weak, serial, piece = std::move(piece)]() mutable {
                   if (const auto self = weak.lock()) self->on_pulled(serial, std::move(piece));
                 });
               });
}

void HttpConnection::on_pulled(uint64_t serial, base::Result<std::string> piece) {
  if (serial != serial_ || state_ != State::kWriting) return;
  if (!piece || piece->empty() || piece->size() > pulled_.length) {
    spdlog::warn("http: an answer ends early: {}",
                 piece ? std::string("it is not as long as it should be") : piece.error().text);
    return close();
  }
  pulled_.offset += piece->size();
  pulled_.length -= piece->size();
  head_ = std::move(*piece);
  body_ = nullptr;
  memory_sent_ = 0;
  arm(core_->options.deadlines.write);
  write_memory();
}

void HttpConnection::on_written() {
  head_.clear();
  body_ = nullptr;
  files_.clear();
  file_ = 0;
  pulled_ = {};
  if (state_ == State::kStreaming) {
    stream_writing_ = false;
    {
      std::lock_guard lock(stream_->mutex);
      stream_->in_flight = 0;
    }
    if (!stream_ending_) return flush_stream();
    stream_ = nullptr;
  }
  if (!keep_alive_) return linger();
  next_request(core_->options.deadlines.idle);
}

// Closing with unread bytes makes the kernel send RST, which can destroy the answer before the client has
// read it (RFC 9112 section 9.6).
void HttpConnection::linger() {
  state_ = State::kLingering;
  arm(kLingerTime);
  if (tls_) {
    tls_->async_shutdown([self = shared_from_this()](const ErrorCode&) { self->close(); });
    return;
  }
  ErrorCode ec;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ec);
  if (ec) return close();
  buffer_.clear();
  discard();
}

void HttpConnection::discard() {
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](const ErrorCode& ec, size_t count) {
                            if (self->state_ == State::kClosed) return;
                            self->discarded_bytes_ += count;
                            if (ec || self->discarded_bytes_ > kDiscardBytes) return self->close();
                            self->discard();
                          });
}

}  // namespace miharu::net
