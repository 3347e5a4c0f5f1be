/* routes.h - which path is served by what. The whole table is in routes.c; each handler lives in the file that is named after its subject. */
#ifndef AUTHD_ROUTES_H
#define AUTHD_ROUTES_H

#include "authd/request.h"

/* server_options' handle and release. */
void routes_handle(struct request *r);
void routes_release(struct request *r);
void routes_answered(const struct request *r, int status, uint64_t ms);

/* rest: what follows the route's path, for routes that have something there. */
typedef void route_handler(struct request *r, struct slice rest);

/* wellknown.c */
route_handler wellknown_discovery, wellknown_keys, wellknown_health, wellknown_static, wellknown_theme;
/* authorize.c, login.c, callback.c, approval.c */
route_handler authorize_request, login_page, login_submit, callback_begin, callback_finish, approval_page, approval_submit;
/* device_pages.c */
route_handler device_start, device_page, device_verify, device_callback;
/* token.c, revoke.c, introspect.c, userinfo.c, internal.c, feed.c */
route_handler token_request, revoke_request, introspect_request, userinfo_request, internal_session, internal_revocations, public_revocations;
/* logout.c */
route_handler logout_request, logout_confirm;
/* admin_*.c */
route_handler admin_sessions_list, admin_sessions_end, admin_clients_list, admin_clients_show, admin_clients_add, admin_clients_set, admin_clients_remove, admin_users_list, admin_users_add,
	admin_users_remove, admin_users_passwd, admin_keys_list, admin_keys_rotate, admin_stats;
/* telemetry.c */
route_handler telemetry_metrics, telemetry_live, telemetry_ready;
/* console.c */
route_handler console_home, console_sign_in, console_sign_out, console_signed_out, console_kubeconfig;
/* select.c */
route_handler select_page, select_submit;
/* console_sessions.c */
route_handler console_sessions, console_sessions_end;
/* console_applications.c */
route_handler console_applications, console_applications_withdraw;

/* What answers where no route does. */
void routes_not_found(struct request *r);

#endif
