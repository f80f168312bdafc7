// Two DTLS sessions and a network between them that loses, doubles and delays, all in simulated time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/check.h"
#include "webrtc/dtls.h"

namespace miharu::webrtc {

inline const Certificate& certificate_of(DtlsRole role) {
  static const auto made = [] {
    const base::UtcTime now = base::system_clock().utc();
    return std::pair(std::move(*Certificate::make(now)), std::move(*Certificate::make(now)));
  }();
  return role == DtlsRole::kServer ? made.first : made.second;
}

inline DtlsContext context_of(DtlsRole role, std::vector<SrtpProfile> profiles = {}) {
  auto made = profiles.empty() ? DtlsContext::make(role, certificate_of(role))
                               : DtlsContext::make(role, certificate_of(role), profiles);
  CHECK(made.has_value());
  return std::move(*made);
}

class DtlsPeer final : public DtlsListener {
 public:
  void on_dtls_send(base::ByteView datagram) override {
    CHECK(!closed);
    sent.emplace_back(datagram.begin(), datagram.end());
    if (network) network(sent.back());
  }
  void on_dtls_established(const SrtpKeys& given) override {
    CHECK(!keys && !closed);
    keys = given;
  }
  void on_dtls_closed(const base::Error& reason) override {
    CHECK(!closed);
    closed = reason;
  }

  std::function<void(base::ByteView)> network;
  std::vector<base::ByteVector> sent;
  std::optional<SrtpKeys> keys;
  std::optional<base::Error> closed;
};

struct DtlsNetworkOptions {
  std::vector<SrtpProfile> server_profiles;  // none: those of DtlsContext
  std::vector<SrtpProfile> client_profiles;
  Fingerprint expected_by_server = certificate_of(DtlsRole::kClient).fingerprint();
  Fingerprint expected_by_client = certificate_of(DtlsRole::kServer).fingerprint();
  // When a datagram arrives after it was sent: nothing is never, more than one is a copy each.
  std::function<std::vector<base::milliseconds>(DtlsRole from)> fate = [](DtlsRole) {
    return std::vector{base::milliseconds(1)};
  };
};

class DtlsNetwork {
 public:
  explicit DtlsNetwork(DtlsNetworkOptions given = {}) : options(std::move(given)) {
    server.network = [this](base::ByteView datagram) { send(DtlsRole::kServer, datagram); };
    client.network = [this](base::ByteView datagram) { send(DtlsRole::kClient, datagram); };
    server_session = std::make_unique<DtlsSession>(server_context, options.expected_by_server, now, server);
    client_session = std::make_unique<DtlsSession>(client_context, options.expected_by_client, now, client);
  }

  // Until `done`, nothing is left to happen, or a minute has passed.
  void run(const std::function<bool()>& done = [] { return false; }) {
    const base::SteadyTime end = now + base::seconds(60);
    while (!done()) {
      base::SteadyTime next = end;
      if (!under_way_.empty()) next = std::min(next, under_way_.begin()->first);
      for (const auto* session : {server_session.get(), client_session.get()})
        if (const auto deadline = session->next_deadline()) next = std::min(next, *deadline);
      if (next >= end) return;
      now = std::max(now, next);
      for (auto* session : {server_session.get(), client_session.get()})
        if (const auto deadline = session->next_deadline(); deadline && *deadline <= now)
          session->on_time(now);
      if (!under_way_.empty() && under_way_.begin()->first <= now) {
        const auto [to, datagram] = std::move(under_way_.extract(under_way_.begin()).mapped());
        session(to).receive(now, datagram);
      }
    }
  }
  bool both_established() { return server.keys && client.keys; }
  DtlsSession& session(DtlsRole role) {
    return role == DtlsRole::kServer ? *server_session : *client_session;
  }

  DtlsNetworkOptions options;
  base::SteadyTime now{std::chrono::hours(5)};
  DtlsPeer server;
  DtlsPeer client;
  DtlsContext server_context = context_of(DtlsRole::kServer, options.server_profiles);
  DtlsContext client_context = context_of(DtlsRole::kClient, options.client_profiles);
  std::unique_ptr<DtlsSession> server_session;
  std::unique_ptr<DtlsSession> client_session;

 private:
  void send(DtlsRole from, base::ByteView datagram) {
    const DtlsRole to = from == DtlsRole::kServer ? DtlsRole::kClient : DtlsRole::kServer;
    for (const base::milliseconds delay : options.fate(from))
      under_way_.emplace(now + delay, std::pair(to, base::ByteVector(datagram.begin(), datagram.end())));
  }

  std::multimap<base::SteadyTime, std::pair<DtlsRole, base::ByteVector>> under_way_;
};

}  // namespace miharu::webrtc
