/* proxy_header.c: see proxy_header.h. Signature 12 · version and command 1 · family and transport 1 ·
 * length 2, big-endian · addresses and extensions. */
#include "worker/http/proxy_header.h"

#include "shared/check.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SIGNATURE_LEN = 12,
    HEAD_LEN = 16,
    VERSION_2 = 2,
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    FAMILY_MAX = 3,   /* unspecified, IPv4, IPv6, unix */
    TRANSPORT_MAX = 2 /* unspecified, stream, datagram */
};

/* Of what has both a family and a transport, in one byte. */
enum { OVER_IPV4 = 0x11, OVER_IPV6 = 0x21, OVER_UNIX = 0x31 };
/* Source and destination of each. */
enum { IPV4_LEN = 4 + 4 + 2 + 2, IPV6_LEN = 16 + 16 + 2 + 2, UNIX_LEN = 108 + 108 };

const char *proxy_header_text(enum proxy_header result)
{
    switch (result) {
#define X(name, text)                                                                              \
    case PROXY_HEADER_##name:                                                                      \
        return text;
        PROXY_HEADER_RESULTS(X)
#undef X
    }
    UNREACHABLE();
}

static bool begins_like(const char *bytes, size_t len, const char *what, size_t what_len)
{
    return memcmp(bytes, what, len < what_len ? len : what_len) == 0;
}

static unsigned byte_at(const char *bytes, size_t i)
{
    return (unsigned char)bytes[i];
}

/* IPv4 in IPv6 counts as IPv4, as everywhere (peer_of()). */
static void read_v4(const char *addresses, struct peer *peer_r)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in.sin_addr, addresses, 4);
    memcpy(&in.sin_port, addresses + 8, 2);
    *peer_r = peer_of((const struct sockaddr *)&in, sizeof in);
}

static void read_v6(const char *addresses, struct peer *peer_r)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memcpy(&in6.sin6_addr, addresses, 16);
    memcpy(&in6.sin6_port, addresses + 32, 2);
    *peer_r = peer_of((const struct sockaddr *)&in6, sizeof in6);
}

static enum proxy_header read_addresses(unsigned over, const char *addresses, size_t len,
                                        struct peer *peer_r)
{
    switch (over) {
    case OVER_IPV4:
        if (len < IPV4_LEN)
            return PROXY_HEADER_WRONG;
        read_v4(addresses, peer_r);
        return PROXY_HEADER_PEER;
    case OVER_IPV6:
        if (len < IPV6_LEN)
            return PROXY_HEADER_WRONG;
        read_v6(addresses, peer_r);
        return PROXY_HEADER_PEER;
    case OVER_UNIX:
        return len < UNIX_LEN ? PROXY_HEADER_WRONG : PROXY_HEADER_LOCAL;
    default: /* nothing that a connection of ours could be named by */
        return PROXY_HEADER_LOCAL;
    }
}

/* The 16 bytes before the addresses: what is wrong with them, or PEER. */
static enum proxy_header judge_head(const char *head, size_t body_len)
{
    unsigned version = byte_at(head, 12) >> 4, command = byte_at(head, 12) & 15;
    unsigned family = byte_at(head, 13) >> 4, transport = byte_at(head, 13) & 15;
    if (version != VERSION_2 || command > COMMAND_PROXY || family > FAMILY_MAX ||
        transport > TRANSPORT_MAX)
        return PROXY_HEADER_WRONG;
    return HEAD_LEN + body_len > PROXY_HEADER_MAX ? PROXY_HEADER_LONG : PROXY_HEADER_PEER;
}

enum proxy_header proxy_header_read(const char *bytes, size_t len, struct peer *peer_r,
                                    size_t *used_r)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n", old[] = "PROXY ";
    _Static_assert(sizeof signature - 1 == SIGNATURE_LEN, "proxy-protocol.txt, 2.2");
    if (len > 0 && begins_like(bytes, len, old, sizeof old - 1))
        return len < sizeof old - 1 ? PROXY_HEADER_MORE : PROXY_HEADER_OLD;
    if (!begins_like(bytes, len, signature, SIGNATURE_LEN))
        return PROXY_HEADER_NONE;
    if (len < HEAD_LEN)
        return PROXY_HEADER_MORE;
    size_t body_len = byte_at(bytes, 14) << 8 | byte_at(bytes, 15);
    enum proxy_header head = judge_head(bytes, body_len);
    if (head != PROXY_HEADER_PEER)
        return head;
    if (len - HEAD_LEN < body_len)
        return PROXY_HEADER_MORE;
    *used_r = HEAD_LEN + body_len;
    if ((byte_at(bytes, 12) & 15) == COMMAND_LOCAL)
        return PROXY_HEADER_LOCAL;
    return read_addresses(byte_at(bytes, 13), bytes + HEAD_LEN, body_len, peer_r);
}
