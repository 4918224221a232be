/* proxy.h: whom to believe about clients: trusted_proxies, and what their X-Forwarded-For and
 * X-Forwarded-Proto say. Addresses are compared as bytes; IPv4-mapped IPv6 counts as IPv4. One
 * thread. */
#pragma once

#include "shared/config.h"
#include "shared/sock.h"
#include "shared/str.h"
#include "worker/http/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* Room for "[v6]:port" with its NUL. */
enum { PROXY_NAME_MAX = 56 };

/* Where a connection comes from. 20 bytes, because every idle connection has one. */
struct peer {
    uint8_t family; /* AF_INET, AF_INET6, or AF_UNIX for everything else */
    uint16_t port;
    uint8_t address[16]; /* the first 4 for AF_INET */
};

struct peer peer_of(const struct sockaddr *address, size_t address_len);
/* The other way round. */
void peer_address(const struct peer *p, struct sock_address *address_r);
/* "127.0.0.1:40312", "[::1]:40312" or "unix"; returns the length. */
size_t peer_name(const struct peer *p, char name_r[static PROXY_NAME_MAX]);
/* An address as text, "10.0.0.1", "::1" or "[::1]", perhaps with a port, which is left out. False
 * when it is none. */
bool peer_parse(struct slice text, struct peer *peer_r);

struct proxies;

/* Reads a list of addresses, networks ("10.0.0.0/8") and "*"; what is none of these is logged and
 * left out. NULL without memory. */
struct proxies *proxies_new(const struct config_list *list);
/* Accepts NULL. */
void proxies_free(struct proxies *p);
/* Unix sockets always are. */
bool proxies_trust(const struct proxies *p, const struct peer *peer);

/* The client according to X-Forwarded-For, as the original's server tells it: the rightmost address
 * that is no trusted proxy, else the leftmost; its port is 0. *peer* is left alone when there is no
 * such field or the address is none. Only for requests of trusted peers. */
void proxies_forwarded_for(const struct proxies *p, const struct header *headers,
                           size_t headers_len, struct peer *peer);
/* X-Forwarded-Proto says https. Only for requests of trusted peers. */
bool proxies_forwarded_https(const struct header *headers, size_t headers_len);
