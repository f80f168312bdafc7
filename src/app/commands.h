// The commands of the program, one function each. They print to stdout, progress and errors to stderr, and
// give the process's exit status.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/config.h"

namespace miharu::app {

enum ExitStatus : int { kDone = 0, kFoundWrong = 1, kCalledWrongly = 2, kCouldNot = 3 };

struct RunArguments {
  std::filesystem::path config;
  std::filesystem::path data = "data";
  std::string listen;
  std::vector<std::string> cameras;  // NAME=URL
  bool demo = false;
};
int run_command(const RunArguments& arguments);

struct ServeArguments {
  std::string store;  // a directory, or s3://bucket/prefix
  std::string listen = "0.0.0.0:8080";
  std::string delivery;                      // "": MIHARU_DELIVERY
  std::vector<std::string> trusted_proxies;  // addresses or networks in CIDR form
};
int serve_command(const ServeArguments& arguments);

struct PublishArguments {
  std::string store;  // s3://bucket/prefix
};
int publish_command(const PublishArguments& arguments);

// Where commands that read a recording find it.
struct StoreArguments {
  std::string store;  // a directory; "" = <data>/store
  std::filesystem::path data = "data";
  bool json = false;
};
struct IntervalArguments {
  std::string camera;
  std::string from;
  std::string to;
};
int ls_command(const StoreArguments& where, const IntervalArguments& what);
int verify_command(const StoreArguments& where, const std::vector<std::string>& cameras, bool repair);
int export_command(const StoreArguments& where, const IntervalArguments& what,
                   const std::filesystem::path& output);

int probe_command(const std::string& url, const std::string& transport, bool json);
int config_check_command(const std::filesystem::path& file);
int config_sample_command();

// Of a running miharu by its data folder, or of a store that `serve` reads.
struct AccessArguments {
  std::filesystem::path data = "data";
  std::string store;  // "" = the database of `data`
};
int user_command(const AccessArguments& where, const std::string& verb, const std::string& name);
struct TokenArguments {
  std::vector<std::string> cameras;
  std::vector<std::string> rights;
  std::string expires = "7d";
  std::string from;
  std::string to;
  std::string id;  // of `revoke`
};
int token_command(const AccessArguments& where, const std::string& verb, const TokenArguments& arguments);

struct CloudArguments {
  std::filesystem::path config;  // empty: miharu.toml
  std::filesystem::path data = "data";
  bool json = false;
};
int cloud_test_command(const CloudArguments& arguments);
struct CloudInitArguments {
  std::filesystem::path config;  // empty: miharu.toml, if it is there
  std::filesystem::path data = "data";
  std::filesystem::path out = "miharu-cloud";  // keys and policies
  // Empty: asked, or with `yes` the default.
  std::string url;
  std::string endpoint;
  std::string region;
  std::string relay;
  std::string keep;
  std::string origin;
  std::string profile;  // of the AWS files, with the administrator's key; empty: the environment
  bool yes = false;
  bool print_only = false;
  bool json = false;
};
int cloud_init_command(const CloudInitArguments& arguments);
// `form`: "s3" or "cloudformation"
int cloud_policy_command(const CloudInitArguments& arguments, const std::string& form);

// Of a bucket, with its administrator's key.
struct AdminArguments {
  std::filesystem::path config;  // empty: miharu.toml, if it is there
  std::filesystem::path data = "data";
  std::string store;    // s3://bucket/prefix; empty: [cloud] url
  std::string profile;  // of the AWS files; empty: the environment
  bool dry_run = false;
  bool json = false;
};
// `keep`: "30d" for all, "CAMERA=90d" for one; what is missing is [cloud] keep and cloud_keep.
int prune_command(const AdminArguments& where, const std::vector<std::string>& keep);

struct DeleteArguments {
  AdminArguments bucket;
  IntervalArguments what;
  std::string only;  // "local" or "bucket"; empty: both
  std::string reason;
  bool yes = false;
};
int delete_command(const DeleteArguments& arguments);

struct CostArguments {
  std::filesystem::path config;  // empty: miharu.toml, if it is there
  std::filesystem::path data = "data";
  std::string provider;  // of deploy/prices.json; empty: its first
  // Empty: measured, or configured.
  std::string bitrate;
  std::string segment;
  std::string keep;
  double live_hours = 0;
  double playback_hours = 0;
  double playlists = 0;
  bool json = false;
};
int cost_command(const CostArguments& arguments);

// Prints "miharu: TEXT" to stderr; gives the exit status that fits the error.
int report_error(const base::Error& error);

}  // namespace miharu::app
