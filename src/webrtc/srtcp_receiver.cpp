#include "webrtc/srtcp_receiver.h"

#include <algorithm>
#include <cstring>

#include <openssl/crypto.h>
#include <srtp2/srtp.h>

namespace miharu::webrtc {
namespace {

using base::Errc;

base::Error error_of(srtp_err_status_t status) {
  switch (status) {
    case srtp_err_status_auth_fail:
      return {Errc::kUnauthorized, "SRTCP with a wrong authentication tag"};
    case srtp_err_status_replay_fail:
      return {Errc::kExists, "SRTCP that came before"};
    case srtp_err_status_replay_old:
      return {Errc::kExists, "SRTCP too old to know whether it came before"};
    case srtp_err_status_cant_check:
      return {Errc::kMalformed, "SRTCP that is not encrypted"};
    default:
      return {Errc::kMalformed, "SRTCP that libsrtp2 refuses with status " + std::to_string(status)};
  }
}

}  // namespace

void SrtcpReceiver::Deleter::operator()(srtp_ctx_t_* session) const {
  srtp_dealloc(session);
}

base::Result<SrtcpReceiver> SrtcpReceiver::make(SrtpProfile profile, const SrtpMaster& receive) {
  static const srtp_err_status_t initialised = srtp_init();
  if (initialised != srtp_err_status_ok) return base::fail(Errc::kInternal, "libsrtp2 does not start");

  srtp_policy_t policy{};
  if (profile == SrtpProfile::kAeadAes128Gcm) {
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
  } else {
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
  }
  std::array<unsigned char, 30> key;
  std::memcpy(key.data(), receive.key.data(), receive.key.size());
  std::memcpy(key.data() + receive.key.size(), receive.salt.data(), receive.salt.size());
  policy.key = key.data();
  policy.ssrc.type = ssrc_any_inbound;
  policy.window_size = 128;
  srtp_t session = nullptr;
  const srtp_err_status_t status = srtp_create(&session, &policy);
  OPENSSL_cleanse(key.data(), key.size());
  if (status != srtp_err_status_ok) {
    return base::fail(Errc::kInternal, "libsrtp2 makes no session for " + std::string(name_of(profile)) +
                                           ": status " + std::to_string(status));
  }
  return SrtcpReceiver(session);
}

base::Result<base::ByteView> SrtcpReceiver::unprotect(std::span<std::byte> packet) {
  base::ByteReader in(packet);
  in.skip(4);
  const uint32_t ssrc = in.u32();
  // The index and the shorter one of the tags: libsrtp2 2.5 does not look before it counts back from the end.
  if (!in.ok() || in.remaining() < 4 + 10) return base::fail(Errc::kTruncated, "too short to be SRTCP");
  const auto known = std::span(ssrcs_).first(ssrc_count_);
  const bool is_new = std::find(known.begin(), known.end(), ssrc) == known.end();
  if (is_new && ssrc_count_ == kMostSsrcs) return base::fail(Errc::kLimit, "SRTCP of too many SSRCs");

  int size = static_cast<int>(packet.size());
  const srtp_err_status_t status = srtp_unprotect_rtcp(session_.get(), packet.data(), &size);
  if (status != srtp_err_status_ok) return tl::unexpected(error_of(status));
  if (is_new) ssrcs_[ssrc_count_++] = ssrc;
  return packet.first(static_cast<size_t>(size));
}

}  // namespace miharu::webrtc
