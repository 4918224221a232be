/* state.c: see state.h. The bytes, integers little-endian:
 *   magic 8 · version u32 · zero u32 · length of the rest u64 · its FNV-1a u64
 *   records: number u16 · zero u16 · length u32 · fields: number u16 · kind u16 · length u32 · value
 * A field that has its value when it is missing is not written. */
#include "master/state.h"

#include "shared/check.h"
#include "shared/scoreboard.h"

#include <stdlib.h>
#include <string.h>

enum kind { KIND_NUMBER = 1, KIND_TEXT, KIND_FD };
enum { MAGIC_LEN = 8, HEAD_LEN = 32, ITEM_HEAD_LEN = 8, NUMBER_LEN = 8 };
static const char magic[MAGIC_LEN + 1] = "COLMEIA\n";

struct field {
    uint16_t number;
    uint16_t kind;
    size_t at; /* in the record */
};

#define BEGIN(number, record) static const struct field record##_fields[] = {
#define NUMBER(record, number, name) {number, KIND_NUMBER, offsetof(struct state_##record, name)},
#define TEXT(record, number, name)   {number, KIND_TEXT, offsetof(struct state_##record, name)},
#define FD(record, number, name)     {number, KIND_FD, offsetof(struct state_##record, name)},
#define END(number, record)                                                                        \
    }                                                                                              \
    ;
#include "master/state.def"

static const struct record {
    uint16_t number;
    size_t size;
    size_t items_at, len_at; /* in struct state */
    const struct field *fields;
    size_t fields_len;
} records[] = {
#define BEGIN(number, record)
#define NUMBER(record, number, name)
#define TEXT(record, number, name)
#define FD(record, number, name)
#define END(number, record)                                                                        \
    {number,                                                                                       \
     sizeof(struct state_##record),                                                                \
     offsetof(struct state, record),                                                               \
     offsetof(struct state, record##_len),                                                         \
     record##_fields,                                                                              \
     sizeof record##_fields / sizeof record##_fields[0]},
#include "master/state.def"
};
enum { RECORDS = sizeof records / sizeof records[0] };

/* ---- lists ----------------------------------------------------------------------------------- */

static char *items_of(const struct state *s, const struct record *r)
{
    char *items;
    memcpy(&items, (const char *)s + r->items_at, sizeof items);
    return items;
}

static size_t len_of(const struct state *s, const struct record *r)
{
    size_t len;
    memcpy(&len, (const char *)s + r->len_at, sizeof len);
    return len;
}

static void clear(const struct record *r, char *item)
{
    memset(item, 0, r->size);
    for (size_t i = 0; i < r->fields_len; i++)
        if (r->fields[i].kind == KIND_FD)
            memcpy(item + r->fields[i].at, &(int){-1}, sizeof(int));
}

/* Grows by doubling: the list is as long as its capacity at powers of two. */
static char *add(struct state *s, const struct record *r)
{
    static _Alignas(16) char nowhere[1024];
    char *items = items_of(s, r);
    size_t len = len_of(s, r);
    ASSERT(r->size <= sizeof nowhere);
    if ((len & (len - 1)) == 0) {
        char *more = realloc(items, (len ? 2 * len : 1) * r->size);
        if (!more) {
            s->failed = true;
            clear(r, nowhere);
            return nowhere;
        }
        items = more;
        memcpy((char *)s + r->items_at, &items, sizeof items);
    }
    clear(r, items + len * r->size);
    memcpy((char *)s + r->len_at, &(size_t){len + 1}, sizeof len);
    return items + len * r->size;
}

static const struct record *record_of(unsigned number)
{
    for (size_t i = 0; i < RECORDS; i++)
        if (records[i].number == number)
            return &records[i];
    return NULL;
}

#define BEGIN(number, record)                                                                      \
    struct state_##record *state_add_##record(struct state *s)                                     \
    {                                                                                              \
        return (void *)add(s, record_of(number));                                                  \
    }
#define NUMBER(record, number, name)
#define TEXT(record, number, name)
#define FD(record, number, name)
#define END(number, record)
#include "master/state.def"

void state_free(struct state *s)
{
    for (size_t i = 0; i < RECORDS; i++)
        free(items_of(s, &records[i]));
    free(s->strangers);
    *s = (struct state){0};
}

static void add_stranger(struct state *s, int fd)
{
    int *more = realloc(s->strangers, (s->strangers_len + 1) * sizeof more[0]);
    if (!more) {
        s->failed = true;
        return;
    }
    s->strangers = more;
    s->strangers[s->strangers_len++] = fd;
}

void state_each_fd(const struct state *s, void (*call)(void *ctx, int fd), void *ctx)
{
    for (size_t i = 0; i < RECORDS; i++)
        for (size_t n = 0; n < len_of(s, &records[i]); n++)
            for (size_t f = 0; f < records[i].fields_len; f++) {
                const struct field *field = &records[i].fields[f];
                int fd;
                memcpy(&fd, items_of(s, &records[i]) + n * records[i].size + field->at, sizeof fd);
                if (field->kind == KIND_FD && fd >= 0)
                    call(ctx, fd);
            }
    for (size_t i = 0; i < s->strangers_len; i++)
        call(ctx, s->strangers[i]);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* FNV-1a (draft-eastlake-fnv): against accidents, not against people. */
static uint64_t checksum(struct slice bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void put(char *at, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (char)(value >> (8 * i));
}

static void append(struct buf *out, uint64_t value, size_t len)
{
    char bytes[NUMBER_LEN];
    put(bytes, value, len);
    buf_append(out, bytes, len);
}

static void write_head(struct buf *out, unsigned number, unsigned kind, size_t len)
{
    ASSERT(len <= UINT32_MAX);
    append(out, number, 2);
    append(out, kind, 2);
    append(out, len, 4);
}

static void write_number(struct buf *out, const struct field *field, int64_t value)
{
    write_head(out, field->number, field->kind, NUMBER_LEN);
    append(out, (uint64_t)value, NUMBER_LEN);
}

static void write_field(struct buf *out, const struct field *field, const char *item)
{
    int64_t number;
    struct slice text;
    int fd;
    switch ((enum kind)field->kind) {
    case KIND_NUMBER:
        memcpy(&number, item + field->at, sizeof number);
        if (number != 0)
            write_number(out, field, number);
        return;
    case KIND_TEXT:
        memcpy(&text, item + field->at, sizeof text);
        if (!text.ptr)
            return;
        write_head(out, field->number, field->kind, text.len);
        buf_append_slice(out, text);
        return;
    case KIND_FD:
        memcpy(&fd, item + field->at, sizeof fd);
        if (fd >= 0)
            write_number(out, field, fd);
        return;
    }
}

static void write_record(struct buf *out, const struct record *r, const char *item)
{
    size_t begin = out->len;
    write_head(out, r->number, 0, 0);
    for (size_t i = 0; i < r->fields_len; i++)
        write_field(out, &r->fields[i], item);
    if (!out->failed)
        put(out->data + begin + 4, out->len - begin - ITEM_HEAD_LEN, 4);
}

static size_t room_of(const struct record *r, const char *item)
{
    size_t room = ITEM_HEAD_LEN;
    for (size_t i = 0; i < r->fields_len; i++) {
        struct slice text = {0};
        if (r->fields[i].kind == KIND_TEXT)
            memcpy(&text, item + r->fields[i].at, sizeof text);
        room += ITEM_HEAD_LEN + NUMBER_LEN + text.len;
    }
    return room;
}

size_t state_room(const struct state *s)
{
    size_t room = HEAD_LEN;
    for (size_t i = 0; i < RECORDS; i++)
        for (size_t n = 0; n < len_of(s, &records[i]); n++)
            room += room_of(&records[i], items_of(s, &records[i]) + n * records[i].size);
    return room;
}

void state_encode(const struct state *s, struct buf *out)
{
    size_t begin = out->len;
    buf_append(out, magic, MAGIC_LEN);
    append(out, STATE_VERSION, 4);
    append(out, 0, 4);
    append(out, 0, 8);
    append(out, 0, 8);
    for (size_t i = 0; i < RECORDS; i++)
        for (size_t n = 0; n < len_of(s, &records[i]); n++)
            write_record(out, &records[i], items_of(s, &records[i]) + n * records[i].size);
    if (out->failed)
        return;
    struct slice body = {out->data + begin + HEAD_LEN, out->len - begin - HEAD_LEN};
    put(out->data + begin + 16, body.len, 8);
    put(out->data + begin + 24, checksum(body), 8);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool refuse(struct buf *error, const char *why)
{
    buf_printf(error, "the state %s", why);
    return false;
}

static uint64_t get(const char *at, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

static bool check_head(struct slice bytes, struct slice *body_r, struct buf *error)
{
    if (bytes.len < HEAD_LEN || memcmp(bytes.ptr, magic, MAGIC_LEN) != 0)
        return refuse(error, "is none of colmeia's");
    uint64_t version = get(bytes.ptr + 8, 4);
    if (version != STATE_VERSION) {
        buf_printf(error, "has format %llu, this program reads %d: restart instead of an upgrade",
                   (unsigned long long)version, STATE_VERSION);
        return false;
    }
    *body_r = (struct slice){bytes.ptr + HEAD_LEN, bytes.len - HEAD_LEN};
    if (get(bytes.ptr + 16, 8) != body_r->len)
        return refuse(error, "is cut short, or too long");
    if (get(bytes.ptr + 24, 8) != checksum(*body_r))
        return refuse(error, "is damaged");
    return true;
}

/* A record or a field: number, kind, value. False at the end or when it does not fit. */
struct item {
    unsigned number, kind;
    struct slice value;
};

static bool next_item(struct slice *rest, struct item *item_r)
{
    if (rest->len < ITEM_HEAD_LEN)
        return false;
    size_t len = (size_t)get(rest->ptr + 4, 4);
    if (len > rest->len - ITEM_HEAD_LEN)
        return false;
    *item_r = (struct item){.number = (unsigned)get(rest->ptr, 2),
                            .kind = (unsigned)get(rest->ptr + 2, 2),
                            .value = {rest->ptr + ITEM_HEAD_LEN, len}};
    *rest = (struct slice){rest->ptr + ITEM_HEAD_LEN + len, rest->len - ITEM_HEAD_LEN - len};
    return true;
}

static const struct field *field_of(const struct record *r, unsigned number)
{
    for (size_t i = 0; r && i < r->fields_len; i++)
        if (r->fields[i].number == number)
            return &r->fields[i];
    return NULL;
}

static bool read_fd(struct state *s, const struct field *field, int64_t number, char *to)
{
    if (number < 0 || number > INT32_MAX)
        return false;
    int fd = (int)number;
    if (field)
        memcpy(to + field->at, &fd, sizeof fd);
    else
        add_stranger(s, fd);
    return true;
}

/* *field* NULL: one that we do not know; of these only descriptors matter. */
static bool read_field(struct state *s, const struct field *field, const struct item *item,
                       char *to)
{
    if (field && field->kind != item->kind)
        return false;
    if (item->kind == KIND_TEXT || item->kind > KIND_FD) {
        if (field)
            memcpy(to + field->at, &item->value, sizeof item->value);
        return true;
    }
    if (item->value.len != NUMBER_LEN)
        return false;
    int64_t number = (int64_t)get(item->value.ptr, NUMBER_LEN);
    if (item->kind == KIND_FD)
        return read_fd(s, field, number, to);
    if (field)
        memcpy(to + field->at, &number, sizeof number);
    return true;
}

static bool read_record(struct state *s, const struct item *record)
{
    const struct record *r = record_of(record->number);
    struct slice rest = record->value;
    struct item item;
    char *to = r ? add(s, r) : NULL;
    while (next_item(&rest, &item))
        if (!read_field(s, field_of(r, item.number), &item, to))
            return false;
    return rest.len == 0;
}

bool state_decode(struct slice bytes, struct state *s_r, struct buf *error)
{
    struct slice rest;
    struct item record;
    *s_r = (struct state){0};
    if (!check_head(bytes, &rest, error))
        return false;
    while (next_item(&rest, &record))
        if (!read_record(s_r, &record))
            return refuse(error, "holds a field that is none");
    if (rest.len > 0)
        return refuse(error, "ends in the middle");
    return !s_r->failed || refuse(error, "does not fit into memory");
}

/* ---- do they fit together -------------------------------------------------------------------- */

static const struct state_regime *regime_of(const struct state *s, int64_t generation)
{
    for (size_t i = 0; i < s->regime_len; i++)
        if (s->regime[i].generation == generation)
            return &s->regime[i];
    return NULL;
}

static bool slot_is_sound(const struct state *s, size_t i)
{
    const struct state_slot *slot = &s->slot[i];
    bool live = slot->state != SLOT_EMPTY && slot->state != SLOT_BACKOFF;
    if (slot->index < 0 || slot->index >= s->master[0].slots_len - 1)
        return false; /* the last is for one-shot children: none lives now */
    if (slot->state < SLOT_EMPTY || slot->state > SLOT_BACKOFF)
        return false;
    if (live != (slot->pid > 0) || slot->pid < 0 || slot->pid > INT32_MAX)
        return false;
    if (live && !regime_of(s, slot->regime))
        return false;
    for (size_t k = 0; k < i; k++)
        if (s->slot[k].index == slot->index || (live && s->slot[k].pid == slot->pid))
            return false;
    return true;
}

/* It is told to leave: it must be nobody else. */
static bool admin_child_is_sound(const struct state *s, size_t i)
{
    int64_t pid = s->admin_child[i].pid;
    bool sound = pid > 1 && pid <= INT32_MAX && pid != s->master[0].pid;
    for (size_t k = 0; k < s->slot_len && sound; k++)
        sound = s->slot[k].pid != pid;
    return sound;
}

static bool identity_is_sound(const struct state_master *m)
{
    return m->children == STATE_CHILDREN_NOT_SAID || m->children == STATE_CHILDREN_STAY ||
           (m->children == STATE_CHILDREN_BECOME && m->uid >= 0 && m->uid < UINT32_MAX &&
            m->gid >= 0 && m->gid < UINT32_MAX);
}

static bool regimes_are_sound(const struct state *s)
{
    unsigned current = 0;
    for (size_t i = 0; i < s->regime_len; i++) {
        current += s->regime[i].over == 0;
        if (regime_of(s, s->regime[i].generation) != &s->regime[i])
            return false;
    }
    for (size_t i = 0; i < s->listener_len; i++)
        if (!regime_of(s, s->listener[i].regime) || s->listener[i].fd < 0 ||
            !s->listener[i].asked.ptr)
            return false;
    for (size_t i = 0; i < s->admin_door_len; i++)
        if (!regime_of(s, s->admin_door[i].regime) || s->admin_door[i].fd < 0 ||
            !s->admin_door[i].asked.ptr)
            return false;
    return current == 1;
}

bool state_is_sound(const struct state *s, struct buf *error)
{
    if (s->master_len != 1 || s->supervisor_len != 1 || s->argument_len == 0)
        return refuse(error, "lacks what a master must know");
    const struct state_master *m = &s->master[0];
    const struct state_supervisor *v = &s->supervisor[0];
    if (m->slots_len < 4 || m->slots_len > SCOREBOARD_SLOTS_MAX || m->slots_len % 2 != 0)
        return refuse(error, "has an impossible number of slots");
    int64_t room = (m->slots_len - 2) / 2;
    if (v->workers < 1 || v->workers > room || v->override < 0 || v->override > room)
        return refuse(error, "has an impossible number of workers");
    if (m->exe < 0 || !m->exe_path.ptr)
        return refuse(error, "does not say which program runs");
    if (!identity_is_sound(m))
        return refuse(error, "names a user that cannot be one");
    if (!regimes_are_sound(s))
        return refuse(error, "has listeners or configurations that do not fit together");
    for (size_t i = 0; i < s->slot_len; i++)
        if (!slot_is_sound(s, i))
            return refuse(error, "has processes that do not fit together");
    for (size_t i = 0; i < s->admin_child_len; i++)
        if (!admin_child_is_sound(s, i))
            return refuse(error, "has an admin child that cannot be one");
    return true;
}

/* ---- whom children become -------------------------------------------------------------------- */

bool state_identity(const struct state *s, struct identity *identity_r)
{
    const struct state_master *m = &s->master[0];
    *identity_r = (struct identity){.uid = (uid_t)-1, .gid = (gid_t)-1};
    if (m->children == STATE_CHILDREN_BECOME)
        *identity_r = (struct identity){.wanted = true, .uid = (uid_t)m->uid, .gid = (gid_t)m->gid};
    return m->children != STATE_CHILDREN_NOT_SAID;
}

void state_set_identity(struct state_master *m, const struct identity *identity)
{
    m->children = identity->wanted ? STATE_CHILDREN_BECOME : STATE_CHILDREN_STAY;
    m->uid = identity->wanted ? identity->uid : 0;
    m->gid = identity->wanted ? identity->gid : 0;
}
