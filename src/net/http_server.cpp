#include "net/http_server.h"

#include <csignal>

#include <fmt/format.h>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/v6_only.hpp>

#include "base/log.h"
#include "base/text.h"
#include "net/http_connection.h"

namespace miharu::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using base::Errc;
using base::fail;
using ErrorCode = boost::system::error_code;

base::Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::kInvalid,
                fmt::format("cannot listen on \"{}\": {}; write 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080",
                            text, why));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("the port is missing");
  const auto port = base::parse_number<uint16_t>(text.substr(colon + 1));
  if (!port) return wrong("the port is not a number up to 65535");
  std::string host(text.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  ErrorCode ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec || address.is_v6() != bracketed) return wrong("the address is not one");
  return ListenAddress{address.to_string(), *port, address.is_loopback()};
}

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(EventLoop& loop, HttpServerOptions options, HttpHandler handler)
      : core_(std::make_shared<HttpServerCore>(loop, std::move(options), std::move(handler))),
        acceptor_(loop.context()),
        retry_(loop.context()) {}

  base::Status start() {
    if (auto tls = load_tls(); !tls) return tls;
    const auto address = parse_listen_address(core_->options.listen);
    if (!address) return tl::unexpected(address.error());
    const tcp::endpoint endpoint(asio::ip::make_address(address->address), address->port);
    ErrorCode ec;
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec && endpoint.protocol() == tcp::v6()) acceptor_.set_option(asio::ip::v6_only(false), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) {
      ErrorCode ignored;
      acceptor_.close(ignored);
      return tl::unexpected(base::system_error("listen on " + core_->options.listen, ec.value()));
    }
    port_ = acceptor_.local_endpoint(ec).port();
    core_->run([self = shared_from_this()] {
      // sendfile(2) has no MSG_NOSIGNAL: its thread must not get SIGPIPE.
      sigset_t pipe;
      sigemptyset(&pipe);
      sigaddset(&pipe, SIGPIPE);
      pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
      self->accept();
    });
    return {};
  }

  void stop() {
    {
      std::lock_guard lock(core_->mutex);
      if (core_->stopped) return;
      core_->stopped = true;
    }
    if (port_ == 0) return;
    const auto end = [this] {
      ErrorCode ignored;
      acceptor_.close(ignored);
      retry_.cancel();
      const auto connections = core_->connections;
      for (const auto& [key, connection] : connections) connection->close();
      core_->handler = nullptr;
    };
    if (core_->loop.context().stopped()) {
      end();
    } else {
      core_->loop.run_and_wait(end);
    }
  }

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] const HttpServerCore& core() const { return *core_; }

 private:
  base::Status load_tls() {
    const std::string& cert = core_->options.tls_cert;
    const std::string& key = core_->options.tls_key;
    if (cert.empty() && key.empty()) return {};
    if (cert.empty() || key.empty()) return fail(Errc::kInvalid, "TLS needs both tls_cert and tls_key");
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_compression |
                    asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                    asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
    ErrorCode ec;
    tls.use_certificate_chain_file(cert, ec);
    if (ec)
      return fail(Errc::kInvalid,
                  fmt::format("tls_cert {}: {}; it must be a PEM certificate chain", cert, ec.message()));
    tls.use_private_key_file(key, asio::ssl::context::pem, ec);
    if (ec) {
      return fail(Errc::kInvalid,
                  fmt::format("tls_key {}: {}; it must be the certificate's PEM key, without a pass phrase",
                              key, ec.message()));
    }
    core_->tls = std::move(tls);
    return {};
  }

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](const ErrorCode& ec, tcp::socket socket) {
      if (!self->acceptor_.is_open()) return;
      if (ec) {
        if (const auto pass = self->limiter_.pass(std::chrono::steady_clock::now())) {
          spdlog::warn("http: accept: {} ({} more like it)", ec.message(), pass.swallowed);
        }
        // Out of descriptors or memory: at once would fail again, and for ever.
        self->retry_.expires_after(std::chrono::milliseconds(100));
        self->retry_.async_wait([self](const ErrorCode& cancelled) {
          if (!cancelled) self->accept();
        });
        return;
      }
      self->admit(std::move(socket));
      self->accept();
    });
  }

  void admit(tcp::socket socket) {
    ErrorCode ec;
    auto address = socket.remote_endpoint(ec).address();
    if (ec) return;
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
      address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    std::string remote = address.to_string();
    const auto& limits = core_->options.limits;
    const auto known = core_->per_remote.find(remote);
    const size_t of_remote = known == core_->per_remote.end() ? 0 : known->second;
    if (core_->connections.size() >= limits.connections || of_remote >= limits.connections_per_remote) {
      core_->refused.fetch_add(1);
      if (const auto pass = limiter_.pass(std::chrono::steady_clock::now())) {
        spdlog::warn("http: connection from {} refused, {} are open, {} of them its own ({} more like it)",
                     remote, core_->connections.size(), of_remote, pass.swallowed);
      }
      return;
    }
    core_->accepted.fetch_add(1);
    core_->open.fetch_add(1);
    ++core_->per_remote[remote];
    const auto connection = std::make_shared<HttpConnection>(core_, std::move(socket), std::move(remote));
    core_->connections.emplace(connection.get(), connection);
    connection->start();
  }

  const std::shared_ptr<HttpServerCore> core_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  base::LogLimiter limiter_;
  uint16_t port_ = 0;
};

HttpServer::HttpServer(EventLoop& loop, HttpServerOptions options, HttpHandler handler)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  stop();
}

base::Status HttpServer::start() {
  return impl_->start();
}
void HttpServer::stop() {
  impl_->stop();
}
uint16_t HttpServer::port() const {
  return impl_->port();
}

HttpServerStats HttpServer::stats() const {
  const HttpServerCore& core = impl_->core();
  return {core.accepted,     core.refused,  core.open,      core.requests,
          core.bad_requests, core.timeouts, core.bytes_sent};
}

}  // namespace miharu::net
