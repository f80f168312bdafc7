#include "app/cli.h"

#include <functional>

#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace miharu::app {
namespace {

// What a subcommand does once its arguments are parsed.
using Action = std::function<int()>;

void add_store_options(CLI::App& command, StoreArguments& where) {
  command.add_option(
      "--store", where.store,
      "s3://bucket/prefix (with a reader's key), or a store's directory (default: DATA/store)");
  command.add_option("--data", where.data, "the data folder of `miharu run`")->capture_default_str();
  command.add_flag("--json", where.json, "one JSON object a line");
}

void add_interval_options(CLI::App& command, IntervalArguments& what, bool required) {
  command.add_option("CAMERA", what.camera, "name of the camera")->required();
  auto* from =
      command.add_option("--from", what.from, "RFC 3339, Unix seconds or milliseconds, or relative: -2h");
  auto* to = command.add_option("--to", what.to, "like --from; default: now");
  if (!required) return;
  from->required();
  to->required();
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App program("miharu records cameras around the clock and plays any interval back in a browser.",
                   "miharu");
  program.require_subcommand(1);
  program.set_version_flag("--version", MIHARU_VERSION);
  Action action;

  RunArguments run;
  auto* run_sub = program.add_subcommand("run", "record, and serve the page");
  run_sub->add_option("--config", run.config,
                      "miharu.toml (default: the one in this folder, if there is one)");
  run_sub->add_option("--data", run.data, "folder for the recording, the database and keys")
      ->capture_default_str();
  run_sub->add_option("--listen", run.listen, "ADDR:PORT of the page (default 0.0.0.0:8080)");
  run_sub->add_option("--camera", run.cameras,
                      "NAME=URL, for example front=rtsp://user:pass@192.168.1.20/stream1; may be repeated");
  run_sub->add_flag("--demo", run.demo, "add a demo camera");
  run_sub->callback([&] { action = [&] { return run_command(run); }; });

  ServeArguments serve;
  auto* serve_sub = program.add_subcommand("serve", "playback over a store, as many of them as you like");
  serve_sub->add_option("--store", serve.store, "s3://bucket/prefix, or a store's directory")->required();
  serve_sub->add_option("--listen", serve.listen, "ADDR:PORT of the page")->capture_default_str();
  serve_sub
      ->add_option("--delivery", serve.delivery,
                   "media of a bucket: proxied through this server (the default), presigned addresses of the "
                   "bucket, or cdn: CloudFront's signed cookies; else MIHARU_DELIVERY")
      ->check(CLI::IsMember({"proxied", "presigned", "cdn"}));
  serve_sub->add_option(
      "--trusted-proxy", serve.trusted_proxies,
      "address or network of a reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are "
      "believed; may be repeated");
  serve_sub->footer("MIHARU_TOKEN_KEY_FILE names the file of the signing key.");
  serve_sub->callback([&] { action = [&] { return serve_command(serve); }; });

  PublishArguments publish;
  auto* publish_sub =
      program.add_subcommand("publish", "put the page into a bucket, for a CDN or the function to hand out");
  publish_sub->add_option("--store", publish.store, "s3://bucket/prefix")->required();
  publish_sub->callback([&] { action = [&] { return publish_command(publish); }; });

  StoreArguments where;
  IntervalArguments what;
  auto* ls_sub = program.add_subcommand("ls", "what is recorded, and gaps with their reasons");
  add_store_options(*ls_sub, where);
  add_interval_options(*ls_sub, what, false);
  ls_sub->callback([&] { action = [&] { return ls_command(where, what); }; });

  std::vector<std::string> cameras;
  bool repair = false;
  auto* verify_sub = program.add_subcommand("verify", "read every object: whole, named true, continuous");
  add_store_options(*verify_sub, where);
  verify_sub->add_option("CAMERA", cameras, "only these cameras");
  verify_sub->add_flag(
      "--repair", repair,
      "finish unfinished objects and give wrongly named ones their true names (miharu must not run)");
  verify_sub->callback([&] { action = [&] { return verify_command(where, cameras, repair); }; });

  std::filesystem::path output;
  auto* export_sub = program.add_subcommand("export", "one MP4 file, exact at both ends, not re-encoded");
  add_store_options(*export_sub, where);
  add_interval_options(*export_sub, what, true);
  export_sub->add_option("-o,--output", output, "FILE.mp4")->required();
  export_sub->callback([&] { action = [&] { return export_command(where, what, output); }; });

  std::string url;
  std::string transport = "auto";
  bool probe_json = false;
  auto* probe_sub = program.add_subcommand("probe", "what a camera offers, and how to add it");
  probe_sub->add_option("URL", url, "rtsp://user:pass@host/path")->required();
  probe_sub->add_option("--transport", transport, "auto, tcp or udp")
      ->check(CLI::IsMember({"auto", "tcp", "udp"}))
      ->capture_default_str();
  probe_sub->add_flag("--json", probe_json, "one JSON object");
  probe_sub->callback([&] { action = [&] { return probe_command(url, transport, probe_json); }; });

  auto* config_sub = program.add_subcommand("config", "check miharu.toml, or print a commented sample");
  config_sub->require_subcommand(1);
  std::filesystem::path file = "miharu.toml";
  auto* check_sub = config_sub->add_subcommand("check", "read the file and say what is wrong with it");
  check_sub->add_option("FILE", file)->capture_default_str();
  check_sub->callback([&] { action = [&] { return config_check_command(file); }; });
  config_sub->add_subcommand("sample", "print a miharu.toml with every key explained")->callback([&] {
    action = [] { return config_sample_command(); };
  });

  CloudArguments cloud;
  auto* cloud_sub = program.add_subcommand("cloud", "the bucket that recordings are copied to");
  cloud_sub->require_subcommand(1);
  auto* cloud_test_sub = cloud_sub->add_subcommand(
      "test",
      "try the bucket out: that uploading works, that the relay's key can do nothing else, clock and rate");
  cloud_test_sub->add_option("--config", cloud.config, "miharu.toml (default: the one in this folder)");
  cloud_test_sub->add_option("--data", cloud.data, "the data folder of `miharu run`")->capture_default_str();
  cloud_test_sub->add_flag("--json", cloud.json, "one JSON object a line");
  cloud_test_sub->callback([&] { action = [&] { return cloud_test_command(cloud); }; });

  CloudInitArguments init;
  std::string form = "s3";
  const auto add_bucket_options = [&](CLI::App* sub) {
    sub->add_option("--url", init.url, "s3://BUCKET/PREFIX");
    sub->add_option("--relay", init.relay, "name of this recorder, its folder in the bucket");
    sub->add_option("--keep", init.keep, "how long recordings are kept there, in whole days: 30d");
    sub->add_option("--origin", init.origin, "address of the page that may read the bucket; * is any");
    sub->add_option("--config", init.config, "miharu.toml (default: the one in this folder)");
    sub->add_option("--data", init.data, "the data folder of `miharu run`")->capture_default_str();
  };
  auto* cloud_init_sub = cloud_sub->add_subcommand(
      "init", "set a bucket up for this recorder: keys, policies, what expires; asks what it is not told");
  add_bucket_options(cloud_init_sub);
  cloud_init_sub->add_option("--endpoint", init.endpoint, "address of the store; aws for AWS");
  cloud_init_sub->add_option("--region", init.region);
  cloud_init_sub->add_option(
      "--profile", init.profile,
      "section of the AWS files with the administrator's key (default: the environment)");
  cloud_init_sub->add_option("--out", init.out, "folder for keys and policies")->capture_default_str();
  cloud_init_sub->add_flag("--print-only", init.print_only,
                           "touch no bucket: only write what is to be set by hand");
  cloud_init_sub->add_flag("--yes", init.yes, "do not ask: take the defaults");
  cloud_init_sub->add_flag("--json", init.json, "one JSON object a step");
  cloud_init_sub->callback([&] { action = [&] { return cloud_init_command(init); }; });
  auto* cloud_policy_sub = cloud_sub->add_subcommand(
      "policy", "print who may do what in the bucket, its CORS and what expires, as one JSON object");
  add_bucket_options(cloud_policy_sub);
  cloud_policy_sub->add_option("--form", form, "s3 (filled in), or cloudformation")
      ->check(CLI::IsMember({"s3", "cloudformation"}))
      ->capture_default_str();
  cloud_policy_sub->callback([&] { action = [&] { return cloud_policy_command(init, form); }; });

  AdminArguments bucket;
  const auto add_admin_options = [&](CLI::App* sub) {
    sub->add_option("--store", bucket.store, "s3://bucket/prefix (default: [cloud] url)");
    sub->add_option("--config", bucket.config, "miharu.toml (default: the one in this folder)");
    sub->add_option("--data", bucket.data, "the data folder of `miharu run`")->capture_default_str();
    sub->add_option("--profile", bucket.profile,
                    "section of the AWS files with the administrator's key (default: the environment)");
    sub->add_flag("--dry-run", bucket.dry_run, "only say what would be deleted");
    sub->add_flag("--json", bucket.json, "one JSON object a line");
  };
  std::vector<std::string> keep;
  auto* prune_sub = program.add_subcommand(
      "prune", "delete from a bucket what is too old, where the store does not do so by itself");
  add_admin_options(prune_sub);
  prune_sub->add_option("--keep", keep, "30d for all cameras, CAMERA=90d for one; may be repeated");
  prune_sub->callback([&] { action = [&] { return prune_command(bucket, keep); }; });

  DeleteArguments deletion;
  auto* delete_sub = program.add_subcommand(
      "delete", "delete an interval of a camera for good, on this disk and in the bucket");
  add_admin_options(delete_sub);
  add_interval_options(*delete_sub, deletion.what, true);
  delete_sub->add_option("--only", deletion.only, "local or bucket")
      ->check(CLI::IsMember({"local", "bucket"}));
  delete_sub->add_option("--reason", deletion.reason, "for the audit line");
  delete_sub->add_flag("--yes", deletion.yes, "do not ask");
  delete_sub->callback([&] {
    action = [&] {
      deletion.bucket = bucket;
      return delete_command(deletion);
    };
  });

  CostArguments cost;
  auto* cost_sub =
      program.add_subcommand("cost", "what the cameras cost in the bucket in a month of 30 days");
  cost_sub->add_option("--config", cost.config, "miharu.toml (default: the one in this folder)");
  cost_sub->add_option("--data", cost.data, "the data folder of `miharu run`")->capture_default_str();
  cost_sub->add_option("--provider", cost.provider, "whose prices: aws-s3 (default), r2");
  cost_sub->add_option("--bitrate", cost.bitrate,
                       "of each camera: 2Mbit/s (default: as recorded in the last day)");
  cost_sub->add_option("--segment", cost.segment, "length of objects (default: as configured)");
  cost_sub->add_option("--keep", cost.keep, "how long recordings are kept (default: as configured)");
  cost_sub->add_option("--live-hours", cost.live_hours,
                       "watched live through the bucket, a month and camera");
  cost_sub->add_option("--playback-hours", cost.playback_hours, "of recordings watched, a month and camera");
  cost_sub->add_option("--playlists", cost.playlists, "of 24 h made anew, a month and camera");
  cost_sub->add_flag("--json", cost.json, "one JSON object");
  cost_sub->callback([&] { action = [&] { return cost_command(cost); }; });

  AccessArguments access;
  const auto add_access_options = [&](CLI::App* sub) {
    auto* data = sub->add_option("--data", access.data, "the data folder of `miharu run`");
    data->capture_default_str();
    sub->add_option("--store", access.store, "a store that `miharu serve` reads, instead")->excludes(data);
  };
  std::string user;
  auto* user_sub = program.add_subcommand("user", "who may sign in");
  user_sub->require_subcommand(1);
  const auto add_user_verb = [&](const std::string& verb, const std::string& help, bool named) {
    auto* sub = user_sub->add_subcommand(verb, help);
    add_access_options(sub);
    if (named) sub->add_option("NAME", user)->required();
    sub->callback([&, verb] { action = [&, verb] { return user_command(access, verb, user); }; });
  };
  add_user_verb("add", "make a user; the password is read from standard input, or made and printed", true);
  add_user_verb("passwd", "give a user a new password", true);
  add_user_verb("list", "list the users", false);
  add_user_verb("remove", "remove a user", true);

  TokenArguments token;
  auto* token_sub = program.add_subcommand("token", "signed links for players and guests");
  token_sub->require_subcommand(1);
  auto* create_sub = token_sub->add_subcommand("create", "make a token");
  create_sub->add_option("CAMERA", token.cameras, "cameras that it opens; * for all")->required();
  create_sub->add_option("--rights", token.rights, "live,playback,export,snapshot")
      ->delimiter(',')
      ->required();
  create_sub->add_option("--expires", token.expires, "how long it is valid: 7d, 12h")->capture_default_str();
  create_sub->add_option("--from", token.from, "playback from here on only");
  create_sub->add_option("--to", token.to, "playback up to here only");
  auto* list_sub = token_sub->add_subcommand("list", "list the tokens");
  auto* revoke_sub = token_sub->add_subcommand("revoke", "make a token invalid");
  revoke_sub->add_option("ID", token.id, "as `token list` shows it")->required();
  for (auto* sub : {create_sub, list_sub, revoke_sub}) {
    add_access_options(sub);
    sub->callback(
        [&, verb = sub->get_name()] { action = [&, verb] { return token_command(access, verb, token); }; });
  }

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kDone : kCalledWrongly;
  }
  return action();
}

}  // namespace miharu::app
