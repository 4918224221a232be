"""guards.py: what each fuzz target is for: the files whose lines its corpus must reach (fuzzing.py), or of a
file the functions, where the others are another's affair."""

VALIDATE = "worker/validate/"
HTTP = "worker/http/"

JSON = [VALIDATE + f for f in ("json.c", "json_decode.c", "json_members.c", "json_number.c", "json_string.c")]
EMAIL = [VALIDATE + f for f in ("email.c", "email_domain.c", "email_literal.c", "email_local.c", "email_split.c",
                                "email_text.c", "idna.c", "idna_bidi.c", "idna_context.c", "unicode.c")]
CONFIG = ["shared/config_" + f + ".c" for f in ("env", "flags", "ini", "suggest", "text", "value")]

# target: [file or (file, functions)]
GUARDS = {
    "fuzz_http": [HTTP + "guard.c", HTTP + "parser.c"],
    "fuzz_rfc9112": [HTTP + "guard.c", HTTP + "parser.c", HTTP + "chunked.c"],
    "fuzz_chunked": [HTTP + "chunked.c", (HTTP + "parser.c", "is_framing_fair take_data has_room read_chunks "
                                          "parser_body")],
    "fuzz_session": [HTTP + "router.c", HTTP + "redirect.c", HTTP + "intake.c",
                     (HTTP + "session.c", "take_sent pop_first gather flush is_safe may_start is_waiting "
                      "start_waiting session_enqueue leaves_it_to_others session_can_take pump "
                      "session_clear_timer owes_answer session_set_timer linger settle "
                      "session_advance session_answered on_data on_eof"),
                     (HTTP + "response.c", "put_head build count response_send response_json response_malformed"),
                     ("worker/net/conn.c", "watch keep show_kept show_passing conn_show conn_again conn_feed take_eof "
                      "take_read conn_read_now conn_linger on_lingering_bytes")],
    "fuzz_tls": ["worker/net/tls.c", "worker/net/conn_tls.c", HTTP + "preface.c",
                 ("worker/net/conn.c", "conn_note_end"),
                 ("worker/net/tls_tickets.c", "seal open_it on_ticket set_mac"),
                 ("worker/net/tls_context.c", "choose_protocol")],
    "fuzz_target": [HTTP + "target.c"],
    "fuzz_proxy": [HTTP + "proxy.c"],
    "fuzz_proxy_header": [HTTP + "proxy_header.c"],
    "fuzz_accept": [HTTP + "accept.c"],
    "fuzz_json": JSON,
    "fuzz_email": EMAIL,
    "fuzz_strength": [VALIDATE + "strength.c", VALIDATE + "common.c"],
    "fuzz_form": [VALIDATE + "form.c", VALIDATE + "percent.c"],
    "fuzz_multipart": [VALIDATE + "form_multipart.c"],
    "fuzz_query": [VALIDATE + "percent.c", ("shared/utf8.c", "utf8_next utf8_is_valid utf8_replace utf8_put")],
    "fuzz_schema": [VALIDATE + f for f in ("schema.c", "schema_params.c", "problem.c", "pyint.c")],
    "fuzz_token": ["worker/auth/claims.c", "worker/auth/token_cache.c", "worker/auth/bearer.c",
                   ("worker/auth/token.c", "token_verify token_fits token_session_over")],
    "fuzz_hash": ["worker/auth/phc.c"],
    "fuzz_order": ["worker/api/order_json.c", VALIDATE + "uuid.c"],
    "fuzz_message": ["shared/message.c"],
    "fuzz_handover": [("worker/net/handover.c", "collect_fds is_connection is_sane past parcel_of refuse "
                       "open_packet")],
    "fuzz_control": ["master/command.c", ("master/control_text.c", "control_text_clean")],
    "fuzz_state": ["master/state.c"],
    "fuzz_top": ["master/top_facts.c", "master/top_screen.c", ("master/top_terminal.c", "terminal_key")],
    "fuzz_config": CONFIG,
    "fuzz_admin": [("shared/bulletin.c", "at_most bound_time bound_times sanitise take bulletin_read text_or_null "
                    "age tell_lists bulletin_tell"), "shared/status.c", "shared/metrics.c", "worker/admin/readiness.c",
                   ("worker/admin/routes.c", "admin_wants_page")],
}

# Lines that are not counted: (regular expression, why).
NOT_COUNTED = [
    (r"\bUNREACHABLE\(\)", "cannot happen"),
    (r"preface_take|SESSION_PREFACE|conn_take_sealed|unseal_kept|cors_put|CORS_LINES_MAX", "TLS, the PROXY protocol and "
     "CORS, which these connections have not: fuzz_proxy_header, fuzz_tls, process/test_tls, process/test_cors"),
    (r"exceeded maximum size of 1024KB", "only a body of a megabyte gets there: unit/test_form"),
    (r"NO_MEMORY|no_memory|ENOMEM|[fF]ailed(_r)? = true|->broken = true|CONN_END_BROKEN", "there is always memory; "
     "the sweep over allocation failures has them"),
]

# Of a file, functions that are not counted: why.
EXCUSED = {
    "shared/config_env.c": {"is_secret": "of the process's own environment: process/test_core", "config_hide_variable":
                            "the same", "config_hide_environment": "the same", "config_forget_environment": "the same"},
    "shared/config_flags.c": {"config_is_flag": "for the words behind a verb, by way of cli.c: unit/test_cli",
                              "config_flags_known": "the same"},
    "shared/status.c": {"status_listener_of": "of a socket of ours: unit/test_status",
                        "status_cpu_ms": "asks the kernel: unit/test_status", "status_memory_kib": "the same",
                        "read_about": "the same"},
    "worker/http/redirect.c": {"server_address": "only a TCP socket has one: process/test_http"},
    "worker/net/tls.c": {"tls_bio_new": "memory", "tls_new": "memory"},
    "worker/validate/strength.c": {"strength_words": "unit/test_strength"},
    "master/top_screen.c": {"top_screen_free": "memory"},
}

LEAST = 95      # per cent of the lines
