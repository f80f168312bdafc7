// One connection of HttpServer, and what its connections share. Internal to src/net.
#pragma once

#include <array>
#include <atomic>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "net/http_server.h"
#include "net/http_target.h"

namespace miharu::net {

class HttpConnection;

struct HttpServerCore {
  HttpServerCore(EventLoop& event_loop, HttpServerOptions server_options, HttpHandler request_handler)
      : loop(event_loop), options(std::move(server_options)), handler(std::move(request_handler)) {}

  // Runs `function` on the loop, at once when called there. Does nothing once stopped, when the loop may be
  // gone.
  template <class Function>
  void run(Function&& function) {
    std::unique_lock lock(mutex);
    if (stopped) return;
    if (!loop.is_current()) {
      loop.post(std::forward<Function>(function));
      return;
    }
    lock.unlock();
    function();
  }
  std::string_view date();  // for the Date header; loop only

  EventLoop& loop;
  const HttpServerOptions options;
  HttpHandler handler;
  std::optional<boost::asio::ssl::context> tls;

  std::mutex mutex;
  bool stopped = false;

  // Owns them until they close: one that waits for its handler has no operation under way that would. Loop
  // only.
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections;
  std::unordered_map<std::string, size_t> per_remote;  // loop only

  std::atomic<uint64_t> accepted{0}, refused{0}, open{0}, requests{0}, bad_requests{0}, timeouts{0},
      bytes_sent{0};

 private:
  std::string date_;
  std::time_t date_at_ = 0;
};

// What the writer of a stream, on any thread, and its connection share.
struct HttpStreamState {
  std::mutex mutex;
  std::string pending;
  size_t in_flight = 0;
  bool flush_posted = false;
  bool ended = false;  // by the writer
  bool gone = false;   // by the client
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpServerCore> core, boost::asio::ip::tcp::socket socket,
                 std::string remote);
  ~HttpConnection();

  // All on the loop. `serial` names the request that is answered; an answer to another one is dropped.
  void start();
  void close();
  void respond(uint64_t serial, HttpResponse response);
  void start_stream(uint64_t serial, unsigned status, const HttpHeaders& headers,
                    std::shared_ptr<HttpStreamState> stream);
  void flush_stream();

 private:
  enum class State {
    kHandshake,
    kIdle,
    kHeader,
    kBody,
    kHandling,
    kWriting,
    kStreaming,
    kLingering,
    kClosed
  };
  using ErrorCode = boost::system::error_code;

  void arm(std::chrono::milliseconds duration);
  void disarm();
  void on_deadline();

  void next_request(std::chrono::milliseconds patience);
  void read();
  void on_read(const ErrorCode& ec, size_t count);
  void parse();
  bool accept_header();  // false: answered with an error
  void dispatch();
  void reject(unsigned status, std::string_view detail);
  void watch_for_hang_up();

  void put_head(unsigned status, const HttpHeaders& headers);
  void write_memory();
  void on_memory_written(const ErrorCode& ec, size_t count);
  void write_files();
  void send_file();
  void pull();
  void on_pulled(uint64_t serial, base::Result<std::string> piece);
  void on_written();
  void linger();
  void discard();

  const std::shared_ptr<HttpServerCore> core_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  boost::asio::steady_timer deadline_;
  const std::string remote_;
  State state_ = State::kHandshake;
  uint64_t serial_ = 0;
  bool watching_ = false;

  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  HttpTarget target_;
  bool head_only_ = false;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  size_t discarded_bytes_ = 0;

  std::string head_;                         // written first,
  std::shared_ptr<const std::string> body_;  // then this, together with it if possible,
  size_t memory_sent_ = 0;
  std::vector<FileBody> files_;  // then these
  size_t file_ = 0;
  PulledBody pulled_;  // or this

  std::shared_ptr<HttpStreamState> stream_;
  bool stream_writing_ = false;
  bool stream_ending_ = false;
};

}  // namespace miharu::net
