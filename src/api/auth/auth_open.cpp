#include "api/auth/auth.h"
#include "api/auth/database.h"

namespace miharu::api {

base::Result<std::unique_ptr<Auth>> Auth::open(AuthOptions options, const base::Clock& clock) {
  const auto key = options.mode == AuthMode::kTokens ? TokenKey::load(options.token_key)
                                                     : TokenKey::load_or_create(options.token_key);
  if (!key) return tl::unexpected(base::Error(key.error()).in("token key"));
  std::unique_ptr<Auth> auth(new Auth(std::move(options), clock, *key));
  if (auth->options_.mode == AuthMode::kTokens) return auth;
  auto database = Database::open(auth->options_.database);
  if (!database) return tl::unexpected(database.error());
  auth->database_ = std::move(*database);
  auth->users_ = std::make_unique<Users>(*auth->database_, clock, auth->options_.password_cost);
  auth->tokens_ = std::make_unique<TokenList>(*auth->database_);
  if (auth->options_.mode == AuthMode::kUsers) {
    auto password = auth->users_->create_first();
    if (!password) return tl::unexpected(password.error());
    auth->first_password_ = std::move(*password);
  }
  return auth;
}

}  // namespace miharu::api
