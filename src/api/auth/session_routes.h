// POST, GET and DELETE /api/v1/session; GET and POST /api/v1/tokens, DELETE /api/v1/tokens/{id};
// GET and POST /api/v1/users, PUT and DELETE /api/v1/users/{name}.
#pragma once

#include "api/auth/auth.h"
#include "api/router.h"

namespace miharu::api {

// `auth` must outlive `router`.
void add_session_routes(Router& router, Auth& auth);

}  // namespace miharu::api
