// node/command_table.h -- the table itself, and the handlers it names, by family.

#ifndef FB_NODE_COMMAND_TABLE_H
#define FB_NODE_COMMAND_TABLE_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const fb_command FB_COMMANDS[];         // ended by one without a name
extern const fb_command FB_COMMANDS_ACL[];     // ACL's subcommands, and so on
extern const fb_command FB_COMMANDS_CLIENT[];
extern const fb_command FB_COMMANDS_COMMAND[];
extern const fb_command FB_COMMANDS_CONFIG[];
extern const fb_command FB_COMMANDS_FUNCTION[];
extern const fb_command FB_COMMANDS_MEMORY[];
extern const fb_command FB_COMMANDS_OBJECT[];
extern const fb_command FB_COMMANDS_OTP[];
extern const fb_command FB_COMMANDS_SLOT[];
extern const fb_command FB_COMMANDS_SLOWLOG[];

void fb_acl_cat(fb_command_call *call);
void fb_acl_deluser(fb_command_call *call);
void fb_acl_dryrun(fb_command_call *call);
void fb_acl_genpass(fb_command_call *call);
void fb_acl_getuser(fb_command_call *call);
void fb_acl_help(fb_command_call *call);
void fb_acl_list(fb_command_call *call);
void fb_acl_load(fb_command_call *call);
void fb_acl_log(fb_command_call *call);
void fb_acl_save(fb_command_call *call);
void fb_acl_setuser(fb_command_call *call);
void fb_acl_users(fb_command_call *call);
void fb_acl_whoami(fb_command_call *call);

void fb_connection_auth(fb_command_call *call);
void fb_connection_echo(fb_command_call *call);
void fb_connection_hello(fb_command_call *call);
void fb_connection_ping(fb_command_call *call);
void fb_connection_quit(fb_command_call *call);
void fb_connection_reset(fb_command_call *call);
void fb_connection_select(fb_command_call *call);

void fb_client_caching(fb_command_call *call);
void fb_client_getname(fb_command_call *call);
void fb_client_getredir(fb_command_call *call);
void fb_client_help(fb_command_call *call);
void fb_client_id(fb_command_call *call);
void fb_client_info(fb_command_call *call);
void fb_client_kill(fb_command_call *call);
void fb_client_list(fb_command_call *call);
void fb_client_no_evict(fb_command_call *call);
void fb_client_reply(fb_command_call *call);
void fb_client_setinfo(fb_command_call *call);
void fb_client_setname(fb_command_call *call);
void fb_client_tracking(fb_command_call *call);
void fb_client_trackinginfo(fb_command_call *call);
void fb_client_unblock(fb_command_call *call);

void fb_pubsub_subscribe(fb_command_call *call);
void fb_pubsub_unsubscribe(fb_command_call *call);

void fb_command_all(fb_command_call *call);
void fb_command_docs(fb_command_call *call);
void fb_command_getkeys(fb_command_call *call);
void fb_command_getkeys_and_flags(fb_command_call *call);
void fb_command_how_many(fb_command_call *call);
void fb_command_info(fb_command_call *call);
void fb_command_list(fb_command_call *call);
void fb_command_show_help(fb_command_call *call);

void fb_settings_get(fb_command_call *call);
void fb_settings_help(fb_command_call *call);
void fb_settings_resetstat(fb_command_call *call);
void fb_settings_rewrite(fb_command_call *call);
void fb_settings_set(fb_command_call *call);

void fb_server_dbsize(fb_command_call *call);
void fb_server_flush(fb_command_call *call);
void fb_server_function_flush(fb_command_call *call);
void fb_server_function_help(fb_command_call *call);
void fb_server_function_list(fb_command_call *call);
void fb_server_info(fb_command_call *call);
void fb_server_memory_help(fb_command_call *call);
void fb_server_memory_usage(fb_command_call *call);
void fb_server_time(fb_command_call *call);

void fb_string_append(fb_command_call *call);
void fb_string_decr(fb_command_call *call);
void fb_string_decrby(fb_command_call *call);
void fb_string_get(fb_command_call *call);
void fb_string_getbit(fb_command_call *call);
void fb_string_getdel(fb_command_call *call);
void fb_string_getex(fb_command_call *call);
void fb_string_getrange(fb_command_call *call);
void fb_string_getset(fb_command_call *call);
void fb_string_incr(fb_command_call *call);
void fb_string_incrby(fb_command_call *call);
void fb_string_incrbyfloat(fb_command_call *call);
void fb_string_lcs(fb_command_call *call);
void fb_string_mget(fb_command_call *call);
void fb_string_mset(fb_command_call *call);
void fb_string_msetnx(fb_command_call *call);
void fb_string_psetex(fb_command_call *call);
void fb_string_set(fb_command_call *call);
void fb_string_setbit(fb_command_call *call);
void fb_string_setex(fb_command_call *call);
void fb_string_setnx(fb_command_call *call);
void fb_string_setrange(fb_command_call *call);
void fb_string_strlen(fb_command_call *call);

void fb_key_copy(fb_command_call *call);
void fb_key_del(fb_command_call *call);
void fb_key_exists(fb_command_call *call);
void fb_key_expire(fb_command_call *call);
void fb_key_expireat(fb_command_call *call);
void fb_key_expiretime(fb_command_call *call);
void fb_key_keys(fb_command_call *call);
void fb_key_persist(fb_command_call *call);
void fb_key_pexpire(fb_command_call *call);
void fb_key_pexpireat(fb_command_call *call);
void fb_key_pexpiretime(fb_command_call *call);
void fb_key_pttl(fb_command_call *call);
void fb_key_random(fb_command_call *call);
void fb_key_rename(fb_command_call *call);
void fb_key_renamenx(fb_command_call *call);
void fb_key_scan(fb_command_call *call);
void fb_key_touch(fb_command_call *call);
void fb_key_ttl(fb_command_call *call);
void fb_key_type(fb_command_call *call);
void fb_object_encoding(fb_command_call *call);
void fb_object_freq(fb_command_call *call);
void fb_object_help(fb_command_call *call);
void fb_object_idletime(fb_command_call *call);
void fb_object_refcount(fb_command_call *call);

void fb_multi_discard(fb_command_call *call);
void fb_multi_exec(fb_command_call *call);
void fb_multi_begin(fb_command_call *call);
void fb_multi_unwatch(fb_command_call *call);
void fb_multi_watch(fb_command_call *call);

void fb_verb_ack(fb_command_call *call);
void fb_verb_cancel(fb_command_call *call);
void fb_verb_dead(fb_command_call *call);
void fb_verb_enqueue(fb_command_call *call);
void fb_verb_explain(fb_command_call *call);
void fb_verb_extend(fb_command_call *call);
void fb_verb_fail(fb_command_call *call);
void fb_verb_fetch(fb_command_call *call);
void fb_verb_fill(fb_command_call *call);
void fb_verb_get(fb_command_call *call);
void fb_verb_help(fb_command_call *call);
void fb_verb_hold(fb_command_call *call);
void fb_verb_invalidate(fb_command_call *call);
void fb_verb_job(fb_command_call *call);
void fb_verb_key(fb_command_call *call);
void fb_verb_kick(fb_command_call *call);
void fb_verb_limit(fb_command_call *call);
void fb_verb_limits(fb_command_call *call);
void fb_verb_mail(fb_command_call *call);
void fb_verb_mails(fb_command_call *call);
void fb_verb_menqueue(fb_command_call *call);
void fb_verb_mfetch(fb_command_call *call);
void fb_verb_otp_help(fb_command_call *call);
void fb_verb_otp_issue(fb_command_call *call);
void fb_verb_otp_peek(fb_command_call *call);
void fb_verb_otp_verify(fb_command_call *call);
void fb_verb_override(fb_command_call *call);
void fb_verb_preview(fb_command_call *call);
void fb_verb_progress(fb_command_call *call);
void fb_verb_queue(fb_command_call *call);
void fb_slowlog_get(fb_command_call *call);  // commands_slow.c
void fb_slowlog_help(fb_command_call *call);
void fb_slowlog_len(fb_command_call *call);
void fb_slowlog_reset(fb_command_call *call);
void fb_verb_queues(fb_command_call *call);
void fb_verb_doctor(fb_command_call *call);  // doctor.c
void fb_verb_refund(fb_command_call *call);
void fb_verb_region(fb_command_call *call);
void fb_verb_release(fb_command_call *call);
void fb_verb_reserve(fb_command_call *call);
void fb_verb_reset(fb_command_call *call);
void fb_verb_retry(fb_command_call *call);
void fb_verb_rules(fb_command_call *call);
void fb_verb_set(fb_command_call *call);
void fb_verb_shared(fb_command_call *call);
void fb_verb_slot_acquire(fb_command_call *call);
void fb_verb_slot_help(fb_command_call *call);
void fb_verb_slot_release(fb_command_call *call);
void fb_verb_slot_renew(fb_command_call *call);
void fb_verb_slot_show(fb_command_call *call);
void fb_verb_stats(fb_command_call *call);
void fb_verb_suppressed(fb_command_call *call);
void fb_verb_throttle(fb_command_call *call);
void fb_verb_warm(fb_command_call *call);

#ifdef __cplusplus
}
#endif

#endif
