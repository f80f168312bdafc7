#include "app/config.h"

namespace miharu::app {

std::string_view sample_config() {
  return R"toml(# miharu.toml: every key, with its default or an example.
# A line that begins with "#" and no blank is a key that has no default: remove the "#" to use it.
# ${NAME} inside quotes is replaced by the environment variable NAME; one that is not set is an error.
# Relative paths count from the folder of this file. `kill -HUP` makes miharu read it again; only what changed restarts.
# Times have units d h m s ms ("7d", "1h30m"); sizes B KB MB GB TB (by 1000) or KiB MiB GiB TiB (by 1024).

[server]
# Address and port of the page and of everything under it. "127.0.0.1:8080" is reachable from this machine only.
listen = "0.0.0.0:8080"
# Certificate chain and private key (PEM): HTTPS. Both or none.
#tls_cert = "tls/fullchain.pem"
#tls_key = "tls/privkey.pem"
# Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks.
trusted_proxies = []
# Where a proxy shows miharu below another path: "/cameras".
base_path = ""

[auth]
# "users": people sign in. "none": everybody sees everything; accepted only with a loopback address in listen.
mode = "users"

[store]
# Where recordings lie; without it, store/ in the data folder (--data). miharu makes the folder once; later, a folder
# without its identity file is taken for a disk that is not mounted, and nothing is recorded into it.
path = "data/store"
# The oldest recordings are deleted when they are older than age, when all are larger than bytes, or when less than free is
# left of the disk (a size or a percentage). What is left out does not limit; free is 5% unless it is said.
keep = { age = "7d", bytes = "200GB", free = "5%" }

[cloud]
# Bucket that recordings are copied to. Credentials come from the environment (AWS_ACCESS_KEY_ID, ...) or the AWS files.
# `miharu cloud test` tries all of this out and says what to do.
#url = "s3://bucket/prefix"
# Of stores other than AWS; AWS_ENDPOINT_URL does the same.
#endpoint = "https://s3.example.org"
#region = "eu-central-1"
# "path" (https://endpoint/bucket) or "virtual" (https://bucket.endpoint); "auto" is virtual at AWS and path elsewhere.
addressing = "auto"
# Folder of this machine in the bucket; without it, one that is made once and kept in data/relay-id.
#relay = "home"
# Section of the AWS files, in place of "default".
#profile = "miharu"
# A file of mode 0600 with aws_access_key_id = ... and aws_secret_access_key = ..., in place of all others.
#credentials_file = "cloud.credentials"
# The most of the uplink that copying may use (bit/s kbit/s Mbit/s Gbit/s).
#bandwidth = "20Mbit/s"
# How long recordings are kept in the bucket, in whole days. This machine's key cannot delete: `miharu cloud init` makes rules
# of it for the store, and `miharu prune` deletes on stores that have none.
#keep = "30d"
# Live pictures go through the bucket while somebody asks for them there, before everything else that is copied. false: never.
# "2Mbit/s": no more than this of the bandwidth, and pictures are left out where that is too little.
live = true
# Which of its streams that is, of a camera with sub_url: "sub", the smaller one, or "main", as it is recorded.
live_stream = "sub"

[record]
# Length of an object: 5s to 120s. It ends at the next key frame. Shorter ones lose less in a crash and cost more requests.
segment = "30s"
# "fmp4", or "mpegts" for players that know nothing newer.
format = "fmp4"

[live]
# The one UDP port of live viewing: open it in the firewall.
udp_port = 8555
# The same over TCP. Not there yet: viewers whose network has no UDP get HLS, or TURN over TCP.
#tcp_port = 8555
# Addresses to offer to browsers besides those of this machine: the public one of a router that forwards the port.
addresses = []
#stun = "stun:stun.example.org:3478"
# Relay for viewers behind strict firewalls. The secret is shared with the TURN server (coturn: static-auth-secret).
#turn = { url = "turn:turn.example.org:3478", secret = "${TURN_SECRET}" }

# One block a camera. Cameras added in the browser are kept in data/cameras.toml, in the same form.
#[[camera]]
# Lower-case letters, digits and -, at most 32: part of file names and addresses. A new name begins a new recording.
#name = "front"
# rtsp://, rtsps://, onvif://HOST, usb:/dev/video0, file:PATH or demo: (a picture made here). No user or password in it.
#url = "rtsp://192.168.1.20/stream1"
# A smaller stream of the same camera: for live view through the bucket, and over lines that do not carry the other. It is pulled
# while somebody needs it and never recorded.
#sub_url = "rtsp://192.168.1.20/stream2"
#user = "admin"
# Never in this file itself: from an environment variable, or from a file that holds nothing else. One of the two.
#password = "${FRONT_PASSWORD}"
#password_file = "front.password"
# "auto" tries TCP, then UDP; "tcp" and "udp" insist.
#transport = "auto"
# rtsps:// only: accept no other certificate than this one, SHA-256 in hex as `miharu probe` shows it. Else any is accepted.
#certificate_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#record = true
# true: the camera is pulled only while somebody watches, and not recorded.
#on_demand = false
# As in [store], for this camera alone; free is for the whole store only.
#keep = { age = "30d", bytes = "50GB" }
# In place of keep in [cloud], for this camera alone.
#cloud_keep = "90d"
)toml";
}

}  // namespace miharu::app
