/* Reads the spans of an OTLP request in protobuf by the plans that the lookout has learnt.
 *
 * It decides nothing by itself: what a span is, its plan says, which was made in Python and is found here by the bytes
 * that decided when it was made. Every span that has none, or in which anything is unusual, is handed back with the
 * place where it lies. Nothing here is needed: without this module, Python does the same.
 *
 * All that is read lies between `at` and `end` of some part, and each part within the one around it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef SOURCE_MARK
#error "build it with build_scanner.py: whoever loads it has to know that it was made of this source"
#endif

#define NAMES_MAX 2048
#define TABLE_SIZE 8192 /* a power of two, several times NAMES_MAX */
#define ATTRIBUTES_MAX 128
#define SIGNATURE_MAX 8192
#define BEGINNINGS_MAX 32
#define COUNT_MAX 1000000000ULL
#define SLACK_S 0.1
#define BLOCK 16 /* bytes that are looked at together */
#define NOTHING 0xFFFF
#define NO_TEXT 0xFFFFFFFFu
#define TELLING_ID_MIN 16
#define SCOPES_MAX 100000 /* with more than these the request is for Python to refuse or to read */

typedef const uint8_t *Bytes;
typedef uint8_t Block __attribute__((vector_size(BLOCK)));
typedef int8_t SignedBlock __attribute__((vector_size(BLOCK)));
typedef uint64_t Words __attribute__((vector_size(BLOCK)));

typedef struct {
    Bytes at;
    Py_ssize_t size;
} Part;

/* A plan as `plans.packed` writes it: numbers of names, NOTHING where there is nothing to read. */
typedef struct {
    uint16_t asked, output, cached, written, reasoning, total, response_id, session, first_token;
    uint16_t clock; /* 0 seconds, 1 milliseconds, 2 milliseconds where seconds would be longer than the call */
    uint16_t has_output, has_first_token, is_cache_beside;
    uint16_t drops_cached, drops_written, drops_output, drops_reasoning;
    uint16_t documents_count, documents[6];
} Plan;

typedef struct {
    PyObject_HEAD
    uint64_t hash_seed, hash_factor;
    PyObject *names; /* a tuple, which keeps the bytes of all names alive */
    Part name[NAMES_MAX];
    uint8_t is_telling[NAMES_MAX];
    uint16_t table[TABLE_SIZE];
    PyObject *beginnings, *odd_beginnings;
    Part beginning[BEGINNINGS_MAX], odd_beginning[BEGINNINGS_MAX];
    int beginnings_count, odd_beginnings_count, names_count, chosen_from;
    uint8_t is_first_letter[256], is_first_of_odd[256]; /* of any of the beginnings */
    /* The span at hand. */
    uint32_t span_number, seen_in[NAMES_MAX];
    Part value[NAMES_MAX], pair[ATTRIBUTES_MAX];
    uint16_t known[ATTRIBUTES_MAX];
    int known_count, attributes_count, is_odd, has_event, tells, is_busy;
    int lost_attributes, lost_events, lost_links; /* whether the sender dropped some */
    Part trace_id, span_id, parent_id, span_name, status;
    uint64_t start_ns, end_ns;
    uint8_t signature[SIGNATURE_MAX];
} Scanner;

/* --- the wire */

/* Whether these are the bytes of an id: as many as it has, and not all of them zero. */
static inline int is_id(Part id, Py_ssize_t size)
{
    if (id.size != size)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if (id.at[i])
            return 1;
    return 0;
}

static inline int varint(Bytes *at, Bytes end, uint64_t *value)
{
    uint64_t found = 0;
    for (int shift = 0; shift < 70 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        found |= (uint64_t)(byte & 127) << (shift < 64 ? shift : 63);
        if (byte < 128) {
            *value = found;
            return 1;
        }
    }
    return 0;
}

/* The next field of a part: its number, its type and its content. 0 at damage. */
static inline int field(Bytes *at, Bytes end, uint64_t *number, int *type, Part *content, uint64_t *plain)
{
    uint64_t tag, size;
    if (!varint(at, end, &tag))
        return 0;
    *number = tag >> 3;
    *type = tag & 7;
    switch (*type) {
    case 0:
        return varint(at, end, plain);
    case 1:
    case 5:
        size = *type == 1 ? 8 : 4;
        break;
    case 2:
        if (!varint(at, end, &size))
            return 0;
        break;
    default: /* groups: nobody writes them */
        return 0;
    }
    if (size > (uint64_t)(end - *at))
        return 0;
    content->at = *at;
    content->size = (Py_ssize_t)size;
    *at += size;
    return 1;
}

static inline uint64_t fixed64(Part part)
{
    uint64_t value;
    memcpy(&value, part.at, 8); /* little endian, as this machine: see the module's end */
    return value;
}

/* --- names */

static inline uint32_t hashed(Bytes at, Py_ssize_t size)
{
    uint64_t first = 0, last = 0;
    if (size >= 8) {
        memcpy(&first, at, 8);
        memcpy(&last, at + size - 8, 8);
    } else {
        memcpy(&first, at, (size_t)size);
    }
    uint64_t mixed = (first ^ (uint64_t)size * 0x9E3779B97F4A7C15ULL) * 0xD6E8FEB86659FD93ULL;
    mixed = (mixed ^ (mixed >> 32) ^ last) * 0xD6E8FEB86659FD93ULL;
    return (uint32_t)(mixed >> 40) & (TABLE_SIZE - 1);
}

static inline int number_of(Scanner *self, Bytes at, Py_ssize_t size)
{
    for (uint32_t slot = hashed(at, size);; slot = (slot + 1) & (TABLE_SIZE - 1)) {
        uint16_t number = self->table[slot];
        if (number == NOTHING)
            return -1;
        if (self->name[number].size == size && memcmp(self->name[number].at, at, (size_t)size) == 0)
            return number;
    }
}

static inline int begins(const Part *with, int count, Bytes at, Py_ssize_t size)
{
    for (int i = 0; i < count; i++)
        if (with[i].size <= size && with[i].at[0] == at[0] && memcmp(with[i].at, at, (size_t)with[i].size) == 0)
            return 1;
    return 0;
}

/* --- a span */

/* Whether it may be that the name of an attribute begins like one of calls. Nearly all are written as a name of less
   than 128 bytes and a value: of these it is seen at a glance. */
static inline int may_tell(Scanner *self, Part pair)
{
    Bytes at = pair.at, end = pair.at + pair.size;
    if (pair.size < 3 || at[0] != 0x0A || at[1] == 0 || at[1] >= 128 || at[1] > pair.size - 2)
        return 1;
    Py_ssize_t size = at[1];
    Bytes name = at + 2;
    uint64_t rest;
    at = name + size;
    if (at == end || *at++ != 0x12 || !varint(&at, end, &rest) || rest != (uint64_t)(end - at))
        return 1;
    return self->is_first_letter[name[0]] && begins(self->beginning, self->beginnings_count, name, size);
}

static int attribute(Scanner *self, Part pair)
{
    Part key = {(Bytes) "", 0}, value = {(Bytes) "", 0}, content;
    Bytes at = pair.at, end = pair.at + pair.size;
    uint64_t number, plain;
    int type, values = 0;
    while (at < end) {
        if (!field(&at, end, &number, &type, &content, &plain))
            return 0;
        if (number == 1 && type == 2)
            key = content;
        else if (number == 2 && type == 2) {
            value = content;
            values++;
        }
    }
    if (values > 1)
        self->is_odd = 1; /* their contents would be merged */
    int known = number_of(self, key.at, key.size);
    if (known < 0) {
        if (key.size && self->is_first_letter[key.at[0]])
            self->tells |= begins(self->beginning, self->beginnings_count, key.at, key.size);
        if (key.size && self->is_first_of_odd[key.at[0]]) /* a count, or a check, under a name that no table knows */
            self->is_odd |= begins(self->odd_beginning, self->odd_beginnings_count, key.at, key.size);
        return 1;
    }
    if (self->seen_in[known] != self->span_number) {
        self->seen_in[known] = self->span_number;
        if (self->known_count < ATTRIBUTES_MAX)
            self->known[self->known_count++] = (uint16_t)known;
        self->tells |= self->is_telling[known];
    }
    self->value[known] = value;
    return 1;
}

/* Read a span. Its attributes are left alone where `is_claimed` is not so, and none of them may be one of a call. */
static int read_span(Scanner *self, Part span, int is_claimed)
{
    int is_worth_it = is_claimed;
    Bytes at = span.at, end = span.at + span.size;
    Part content, none = {(Bytes) "", 0};
    uint64_t number, plain;
    int type;
    if (++self->span_number == 0) {
        memset(self->seen_in, 0, sizeof self->seen_in);
        self->span_number = 1;
    }
    self->trace_id = self->span_id = self->parent_id = self->span_name = self->status = none;
    self->start_ns = self->end_ns = 0;
    self->known_count = self->attributes_count = self->is_odd = self->has_event = self->tells = 0;
    self->lost_attributes = self->lost_events = self->lost_links = 0;
    while (at < end) {
        if (!field(&at, end, &number, &type, &content, &plain))
            return 0;
        if (type == 2) {
            switch (number) {
            case 1: self->trace_id = content; break;
            case 2: self->span_id = content; break;
            case 4: self->parent_id = content; break;
            case 5: self->span_name = content; break;
            case 9:
                is_worth_it = is_worth_it || may_tell(self, content);
                if (self->attributes_count < ATTRIBUTES_MAX)
                    self->pair[self->attributes_count] = content;
                else if (!attribute(self, content))
                    return 0;
                self->attributes_count++;
                break;
            case 11: self->has_event = 1; break;
            case 15:
                if (self->status.size)
                    self->is_odd = 1; /* they would be merged */
                self->status = content;
                break;
            }
        } else if (type == 0) {
            if (number == 10)
                self->lost_attributes = (uint32_t)plain != 0;
            else if (number == 12)
                self->lost_events = (uint32_t)plain != 0;
            else if (number == 14)
                self->lost_links = (uint32_t)plain != 0;
        } else if (type == 1) {
            if (number == 7)
                self->start_ns = fixed64(content);
            else if (number == 8)
                self->end_ns = fixed64(content);
        }
    }
    for (int i = 0; is_worth_it && i < self->attributes_count && i < ATTRIBUTES_MAX; i++)
        if (!attribute(self, self->pair[i]))
            return 0;
    if (self->attributes_count > ATTRIBUTES_MAX)
        self->is_odd = 1;
    return 1;
}

static inline int has(Scanner *self, uint16_t number)
{
    return number < NAMES_MAX && self->seen_in[number] == self->span_number;
}

/* --- values by a plan: 1 is read, 0 is for Python to say, -1 is an exception */

static int count_of(Scanner *self, uint16_t number, int64_t *value)
{
    *value = -1;
    if (number == NOTHING)
        return 1;
    if (!has(self, number))
        return 0;
    Part part = self->value[number];
    Bytes at = part.at + 1, end = part.at + part.size;
    uint64_t found;
    if (part.size < 2 || part.at[0] != 0x18 || !varint(&at, end, &found) || at != end || found > COUNT_MAX)
        return 0;
    *value = (int64_t)found;
    return 1;
}

/* A short text that neither begins nor ends with anything that would be cut off is what it is. */
static int text_of(Scanner *self, uint16_t number, Part *text)
{
    text->at = NULL;
    text->size = 0;
    if (number == NOTHING)
        return 1;
    if (!has(self, number))
        return 0;
    Part part = self->value[number];
    if (part.size <= 3 || part.at[0] != 0x0A || part.at[1] != part.size - 2 || part.size - 2 >= 128)
        return 0;
    uint8_t first = part.at[2], last = part.at[part.size - 1];
    if (first <= 34 || first >= 127 || last <= 32 || last >= 127)
        return 0;
    for (Py_ssize_t i = 2; i < part.size; i++)
        if (part.at[i] >= 128)
            return 0; /* whether it is UTF-8 is for Python to say */
    text->at = part.at + 2;
    text->size = part.size - 2;
    return 1;
}

static int first_token_of(Scanner *self, const Plan *plan, double *waited)
{
    if (!has(self, plan->first_token))
        return 0;
    Part part = self->value[plan->first_token];
    if (part.size != 9 || part.at[0] != 0x21)
        return 0;
    double found, duration = self->end_ns > self->start_ns ? (double)(self->end_ns - self->start_ns) / 1e9 : 0.0;
    memcpy(&found, part.at + 1, 8);
    if (plan->clock == 1 || (plan->clock == 2 && found > duration + SLACK_S))
        found /= 1000;
    *waited = found;
    return found >= 0 && found <= duration + SLACK_S; /* which is not so of what is no number */
}

static int is_word_end(Bytes at, Bytes end)
{
    while (at < end && *at == '\\')
        at++;
    return at < end && (*at == '"' || *at == '\'');
}

/* Where these letters come next; NULL where they do not. Of each block it is seen at once, by their first and their last
   one, where they may begin in it: documents are long, and mostly hold none of what they are searched for. */
static Bytes find(Bytes at, Bytes end, const char *letters, Py_ssize_t size)
{
    const uint8_t first = (uint8_t)letters[0], last = (uint8_t)letters[size - 1];
    for (; end - at >= BLOCK + size; at += BLOCK) {
        Block begins, ends;
        memcpy(&begins, at, BLOCK);
        memcpy(&ends, at + size - 1, BLOCK);
        Words found = (Words)((begins == first) & (ends == last));
        for (int i = 0; i < BLOCK / 8; i++)
            for (uint64_t places = found[i]; places; places &= ~(0xFFULL << (__builtin_ctzll(places) & ~7))) {
                Bytes place = at + i * 8 + __builtin_ctzll(places) / 8;
                if (memcmp(place, letters, (size_t)size) == 0)
                    return place;
            }
    }
    for (; end - at >= size; at++)
        if (*at == first && memcmp(at, letters, (size_t)size) == 0)
            return at;
    return NULL;
}

static int holds(Part part, const char *letters, Py_ssize_t size)
{
    return find(part.at, part.at + part.size, letters, size) != NULL;
}

static int tells_usage(Part part)
{
    Bytes at = part.at, end = part.at + part.size;
    while ((at = find(at, end, "sage", 4)) != NULL) {
        int is_usage = at > part.at && (at[-1] | 32) == 'u';
        at += 4;
        if (!is_usage)
            continue;
        if (is_word_end(at, end))
            return 1;
        if (end - at >= 9 && memcmp(at, "_metadata", 9) == 0 && is_word_end(at + 9, end))
            return 1;
        if (end - at >= 8 && memcmp(at, "Metadata", 8) == 0 && is_word_end(at + 8, end))
            return 1;
    }
    return 0;
}

/* Letters as escapes: a backslash and more than what texts are full of, such as the end of a line. */
static int has_escapes(Part part)
{
    Bytes at = part.at, end = part.at + part.size;
    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        at++;
        if (at < end && (*at == 'x' || *at == 'N' || *at == '1' || *at == 'U'))
            return 1;
        if (end - at >= 4 && memcmp(at, "u00", 3) == 0 && at[3] >= '4' && at[3] <= '7')
            return 1;
    }
    return 0;
}

/* Whether a document tells no more than is known, as far as can be seen from here. */
static int is_silent(Part document, PyObject *letters)
{
    if (document.size < 1 || document.at[0] != 0x0A)
        return 0;
    if (tells_usage(document) || holds(document, "Chunk", 5))
        return 0;
    if (has_escapes(document))
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(letters); i++) {
        PyObject *one = PyTuple_GET_ITEM(letters, i);
        if (!PyBytes_CheckExact(one) || PyBytes_GET_SIZE(one) == 0 ||
            holds(document, PyBytes_AS_STRING(one), PyBytes_GET_SIZE(one)))
            return 0;
    }
    return 1;
}

static inline PyObject *bytes_of(Part part)
{
    return PyBytes_FromStringAndSize((const char *)part.at, part.size);
}

static inline int64_t not_negative(int64_t value)
{
    return value < 0 ? 0 : value;
}

/* A report as `rows.RECORD` describes it. */
typedef struct {
    uint8_t trace_id[16], span_id[8], parent_id[8];
    uint64_t start_ns, end_ns;
    int64_t asked, cached, written, output, reasoning;
    double waited;
    uint64_t id_hash;
    uint32_t kind, text_at, id_size, session_size, session_at, has_telling_id;
} Record;

_Static_assert(sizeof(Record) == 128, "a record is written as it lies in memory");

typedef struct {
    uint8_t *at;
    Py_ssize_t size, room;
} Buffer;

typedef struct {
    PyObject *groups, *origin, *home, *choose, *kinds, *chosen, *left;
    PyObject *last_shape; /* borrowed of `kinds`, which holds it */
    uint32_t last_kind;
    Buffer records, texts, sessions;
    Bytes body;
    uint64_t earliest_ns, latest_ns;
    int gaps;
    Py_ssize_t job; /* the number of the scope */
    Py_ssize_t others, no_ids, no_times, too_early, too_late, lost_attributes, lost_events, lost_links;
} Work;

/* Room for so many more bytes; NULL without memory, with the exception. */
static uint8_t *room_in(Buffer *buffer, Py_ssize_t size)
{
    if (buffer->at == NULL || buffer->room - buffer->size < size) {
        Py_ssize_t room = 2 * buffer->room + size + 4096;
        uint8_t *moved = PyMem_Realloc(buffer->at, (size_t)room);
        if (moved == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        buffer->at = moved;
        buffer->room = room;
    }
    buffer->size += size;
    return buffer->at + buffer->size - size;
}

static uint64_t hash_of(Scanner *self, Part text)
{
    uint64_t found = self->hash_seed ^ (uint64_t)text.size, word;
    for (Py_ssize_t at = 0; at < text.size; at += 8) {
        word = 0;
        memcpy(&word, text.at + at, (size_t)(text.size - at < 8 ? text.size - at : 8));
        found = (found ^ word) * self->hash_factor;
        found ^= found >> 32;
    }
    return found ? found : 1;
}

/* The place of a shape among those of the request. 0 with an exception. */
static int kind_of(Work *work, PyObject *shape, uint32_t *kind)
{
    if (shape != work->last_shape) {
        PyObject *known = PyDict_GetItemWithError(work->kinds, shape);
        if (known != NULL) {
            work->last_kind = (uint32_t)PyLong_AsUnsignedLong(known);
        } else {
            if (PyErr_Occurred())
                return 0;
            PyObject *next = PyLong_FromSsize_t(PyDict_GET_SIZE(work->kinds));
            if (next == NULL)
                return 0;
            work->last_kind = (uint32_t)PyDict_GET_SIZE(work->kinds);
            int failed = PyDict_SetItem(work->kinds, shape, next);
            Py_DECREF(next);
            if (failed)
                return 0;
        }
        if (PyErr_Occurred())
            return 0;
        work->last_shape = shape;
    }
    *kind = work->last_kind;
    return 1;
}

/* What the attributes hold that were chosen to be looked at, by what `choose` makes of their bytes. */
static PyObject *chosen_of(Scanner *self, PyObject *choose, PyObject *origin)
{
    int count = self->names_count - self->chosen_from;
    PyObject *arguments = PyTuple_New(count + 1);
    if (arguments == NULL)
        return NULL;
    PyTuple_SET_ITEM(arguments, 0, Py_NewRef(origin));
    for (int i = 0; i < count; i++) {
        uint16_t number = (uint16_t)(self->chosen_from + i);
        PyObject *raw = has(self, number) ? bytes_of(self->value[number]) : Py_NewRef(Py_None);
        if (raw == NULL) {
            Py_DECREF(arguments);
            return NULL;
        }
        PyTuple_SET_ITEM(arguments, i + 1, raw);
    }
    PyObject *chosen = PyObject_Call(choose, arguments, NULL);
    Py_DECREF(arguments);
    return chosen;
}

/* Note what the span at hand holds of them beside its record. */
static int add_chosen(Scanner *self, Work *work)
{
    if (work->choose == Py_None || self->names_count == self->chosen_from)
        return 0;
    PyObject *chosen = chosen_of(self, work->choose, work->origin);
    if (chosen == NULL)
        return -1;
    PyObject *one = Py_BuildValue("(nN)", work->records.size / (Py_ssize_t)sizeof(Record), chosen);
    int failed = one == NULL || PyList_Append(work->chosen, one) < 0;
    Py_XDECREF(one);
    return failed ? -1 : 0;
}

/* Write down the report that the span at hand is, by its plan. */
static int report(Scanner *self, Work *work, PyObject *entry)
{
    const Plan *plan = NULL;
    int64_t asked = -1, output = -1, cached = -1, written = -1, reasoning = -1, total = -1;
    for (int turn = 0;; turn++) {
        /* [how to read, shapes by home, letters, the plan of those whose output is otherwise] */
        if (!PyList_CheckExact(entry) || PyList_GET_SIZE(entry) != 4 || !PyDict_CheckExact(PyList_GET_ITEM(entry, 1)) ||
            !PyTuple_CheckExact(PyList_GET_ITEM(entry, 2)))
            return 0;
        PyObject *packed = PyList_GET_ITEM(entry, 0);
        if (!PyBytes_CheckExact(packed) || PyBytes_GET_SIZE(packed) != sizeof(Plan))
            return 0;
        plan = (const Plan *)PyBytes_AS_STRING(packed);
        if (!count_of(self, plan->asked, &asked) || !count_of(self, plan->output, &output) ||
            !count_of(self, plan->cached, &cached) || !count_of(self, plan->written, &written) ||
            !count_of(self, plan->reasoning, &reasoning) || !count_of(self, plan->total, &total))
            return 0;
        int64_t beside = not_negative(cached) + not_negative(written), thought = not_negative(reasoning);
        if (beside || thought) {
            /* Whether the parts lie in the whole or beside it is for Python to say, where it is not plain. */
            int is_plain = !plan->is_cache_beside && beside <= not_negative(asked) && thought <= not_negative(output);
            if (!is_plain || (total >= 0 && (asked < 0 || output < 0 || total != asked + output)))
                return 0;
        }
        if ((output > 0) == plan->has_output)
            break;
        entry = PyList_GET_ITEM(entry, 3);
        if (turn || entry == Py_None)
            return 0;
    }
    if (cached == 0 && plan->drops_cached)
        cached = -1;
    if (written == 0 && plan->drops_written)
        written = -1;
    if (output == 0 && plan->drops_output)
        output = -1;
    if (reasoning == 0 && plan->drops_reasoning)
        reasoning = -1;
    double waited = 0.0;
    int has_waited = 0;
    if (plan->first_token != NOTHING) {
        if (!first_token_of(self, plan, &waited))
            return 0;
        has_waited = plan->has_first_token;
    }
    for (int i = 0; i < plan->documents_count && i < 6; i++)
        if (!has(self, plan->documents[i]) ||
            !is_silent(self->value[plan->documents[i]], PyList_GET_ITEM(entry, 2)))
            return 0;
    PyObject *shape = PyDict_GetItemWithError(PyList_GET_ITEM(entry, 1), work->home);
    if (shape == NULL || shape == Py_None)
        return PyErr_Occurred() ? -1 : 0;
    Part response_id, session;
    if (!text_of(self, plan->response_id, &response_id) || !text_of(self, plan->session, &session))
        return 0;
    if (self->end_ns > work->latest_ns || self->start_ns > work->latest_ns) {
        work->too_early++;
        return 1;
    }
    if (self->end_ns < work->earliest_ns) {
        work->too_late++;
        return 1;
    }
    Record made = {
        .start_ns = self->start_ns,
        .end_ns = self->end_ns,
        .asked = asked,
        .cached = cached,
        .written = written,
        .output = output,
        .reasoning = reasoning,
        .waited = has_waited ? waited : (double)NAN,
        .id_hash = response_id.at ? hash_of(self, response_id) : 0,
        .text_at = (uint32_t)work->texts.size,
        .id_size = response_id.at ? (uint32_t)response_id.size : NO_TEXT,
        .session_size = session.at ? (uint32_t)session.size : NO_TEXT,
        .session_at = (uint32_t)work->sessions.size,
        .has_telling_id = response_id.at && response_id.size >= TELLING_ID_MIN,
    };
    memcpy(made.trace_id, self->trace_id.at, 16);
    memcpy(made.span_id, self->span_id.at, 8);
    if (self->parent_id.size == 8)
        memcpy(made.parent_id, self->parent_id.at, 8);
    if (!kind_of(work, shape, &made.kind) || add_chosen(self, work) < 0)
        return -1;
    uint8_t *text = room_in(&work->texts, response_id.size);
    uint8_t *told = text ? room_in(&work->sessions, session.size) : NULL;
    uint8_t *record = told ? room_in(&work->records, sizeof made) : NULL;
    if (record == NULL)
        return -1;
    if (response_id.at)
        memcpy(text, response_id.at, (size_t)response_id.size);
    if (session.at)
        memcpy(told, session.at, (size_t)session.size);
    memcpy(record, &made, sizeof made);
    return 1;
}

/* --- the spans of a scope */

/* What decides what a span of the group is; NULL without an exception when it is too long to be told by. */
static PyObject *signature_of(Scanner *self, PyObject *deciding, int looks_at_name, int gaps)
{
    uint8_t *to = self->signature, *end = self->signature + SIGNATURE_MAX;
    Part parts[2] = {self->status, self->span_name};
    *to++ = (uint8_t)gaps;
    for (int i = 0; i < 1 + looks_at_name; i++) {
        if (end - to < parts[i].size + 4)
            return NULL;
        uint32_t size = (uint32_t)parts[i].size;
        memcpy(to, &size, 4);
        memcpy(to + 4, parts[i].at, size);
        to += 4 + size;
    }
    const uint16_t *numbers = (const uint16_t *)PyBytes_AS_STRING(deciding);
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(deciding) / 2; i++) {
        if (numbers[i] >= self->names_count || !has(self, numbers[i]))
            return NULL;
        Part value = self->value[numbers[i]];
        if (end - to < value.size + 4)
            return NULL;
        uint32_t size = (uint32_t)value.size;
        memcpy(to, &size, 4);
        memcpy(to + 4, value.at, size);
        to += 4 + size;
    }
    return PyBytes_FromStringAndSize((const char *)self->signature, to - self->signature);
}

/* Hand a span back: where its record belongs, where it lies, and what its group or its plan would be found by. */
static int leave(Work *work, Part span, PyObject *known_by, PyObject *plans, PyObject *signature)
{
    Py_ssize_t begin = span.at - work->body;
    PyObject *left = Py_BuildValue(
        "(nnnnOOO)", work->job, work->records.size / (Py_ssize_t)sizeof(Record), begin, begin + span.size,
        known_by ? known_by : Py_None, plans ? plans : Py_None, signature ? signature : Py_None);
    uint8_t *kept_free = left ? room_in(&work->records, sizeof(Record)) : NULL;
    if (kept_free != NULL)
        memset(kept_free, 0, sizeof(Record));
    int failed = kept_free == NULL || PyList_Append(work->left, left) < 0;
    Py_XDECREF(left);
    return failed ? -1 : 0;
}

static int scan_span(Scanner *self, Work *work, Part span, int is_claimed)
{
    if (!read_span(self, span, is_claimed)) {
        PyErr_SetString(PyExc_ValueError, "a span is damaged");
        return -1;
    }
    if (!is_id(self->span_id, 8) || !is_id(self->trace_id, 16)) {
        work->no_ids++;
        return 0;
    }
    if (self->start_ns == 0 || self->end_ns == 0) {
        work->no_times++;
        return 0;
    }
    work->lost_attributes += self->lost_attributes;
    work->lost_events += self->lost_events;
    work->lost_links += self->lost_links;
    if (!self->tells && !is_claimed) {
        work->others++;
        return 0;
    }
    if (self->is_odd || self->has_event)
        return leave(work, span, NULL, NULL, NULL);
    PyObject *known_by = PyBytes_FromStringAndSize((const char *)self->known, self->known_count * 2);
    if (known_by == NULL)
        return -1;
    PyObject *group = PyDict_GetItemWithError(work->groups, known_by);
    if (group == NULL) {
        int failed = PyErr_Occurred() ? -1 : leave(work, span, known_by, NULL, NULL);
        Py_DECREF(known_by);
        return failed;
    }
    Py_DECREF(known_by);
    /* [the attributes that decide, whether the name does too, plans by what these hold] */
    if (!PyList_CheckExact(group) || PyList_GET_SIZE(group) != 3 || !PyBytes_CheckExact(PyList_GET_ITEM(group, 0)) ||
        !PyDict_CheckExact(PyList_GET_ITEM(group, 2)))
        return leave(work, span, NULL, NULL, NULL);
    PyObject *plans = PyList_GET_ITEM(group, 2);
    PyObject *signature =
        signature_of(self, PyList_GET_ITEM(group, 0), PyList_GET_ITEM(group, 1) == Py_True, work->gaps);
    if (signature == NULL)
        return PyErr_Occurred() ? -1 : leave(work, span, NULL, NULL, NULL);
    PyObject *entry = PyDict_GetItemWithError(plans, signature);
    int done = -1;
    if (entry == NULL) {
        if (!PyErr_Occurred())
            done = leave(work, span, NULL, plans, signature);
    } else if (entry == Py_None) {
        work->others++;
        done = 0;
    } else {
        Py_INCREF(entry); /* `choose` may be Python, and do anything */
        int is_read = report(self, work, entry);
        Py_DECREF(entry);
        done = is_read == 0 ? leave(work, span, NULL, NULL, NULL) : is_read > 0 ? 0 : -1;
    }
    Py_DECREF(signature);
    return done;
}

/* Read the spans of one scope. */
static int scan_scope(Scanner *self, Work *work, Bytes at, Bytes end, int is_claimed)
{
    uint64_t number, plain;
    int type;
    Part content;
    while (at < end) {
        if (!field(&at, end, &number, &type, &content, &plain)) {
            PyErr_SetString(PyExc_ValueError, "the spans of a scope are damaged");
            return -1;
        }
        if (number == 2 && type == 2 && scan_span(self, work, content, is_claimed) < 0)
            return -1;
    }
    return 0;
}

/* Note what was refused and lost of a scope, where anything was. */
static int note_amiss(Work *work, PyObject *amiss)
{
    if (!(work->no_ids | work->no_times | work->too_early | work->too_late | work->lost_attributes |
          work->lost_events | work->lost_links))
        return 0;
    PyObject *one = Py_BuildValue("(n(nnnn)(nnn))", work->job, work->no_ids, work->no_times, work->too_early,
                                  work->too_late, work->lost_attributes, work->lost_events, work->lost_links);
    int failed = one == NULL || PyList_Append(amiss, one) < 0;
    Py_XDECREF(one);
    work->no_ids = work->no_times = work->too_early = work->too_late = 0;
    work->lost_attributes = work->lost_events = work->lost_links = 0;
    return failed ? -1 : 0;
}

static int scan_all(Scanner *self, Work *work, Py_ssize_t size, PyObject *scopes, PyObject *amiss)
{
    for (work->job = 0; work->job < PyList_GET_SIZE(scopes); work->job++) {
        Py_ssize_t begin, end;
        int is_claimed;
        PyObject *one = PyList_GET_ITEM(scopes, work->job);
        if (!PyTuple_CheckExact(one)) {
            PyErr_SetString(PyExc_TypeError, "a scope is a tuple");
            return -1;
        }
        Py_INCREF(one); /* `choose` may be Python, and do anything */
        int failed = !PyArg_ParseTuple(one, "nnpO!iOO", &begin, &end, &is_claimed, &PyDict_Type, &work->groups,
                                       &work->gaps, &work->origin, &work->home);
        if (!failed && (begin < 0 || end < begin || end > size)) {
            PyErr_SetString(PyExc_ValueError, "there is no such part");
            failed = 1;
        }
        failed = failed || scan_scope(self, work, work->body + begin, work->body + end, is_claimed) < 0 ||
                 note_amiss(work, amiss) < 0;
        Py_DECREF(one);
        if (failed)
            return -1;
    }
    return 0;
}

PyDoc_STRVAR(scan_doc,
"scan(body, scopes, choose, earliest_ns, latest_ns, kinds)\n--\n\n"
"Read the spans of scopes, each (begin, end, is_claimed, groups, gaps, origin, home):\n"
"(records, texts, sessions, chosen, left, others, amiss). The first three are as `rows` has them; new shapes are added\n"
"to `kinds`. `chosen` has places and what the spans there hold of the chosen attributes. `amiss` has numbers of scopes,\n"
"with how many spans had no ids, no times, were too early and too late, and of how many attributes, events and links\n"
"were dropped. Where a span is left to Python, the record is empty. Raises ValueError at damage.");

static PyObject *scan(Scanner *self, PyObject *arguments)
{
    Work work = {0};
    Py_buffer body;
    PyObject *scopes;
    unsigned long long earliest_ns, latest_ns;
    if (!PyArg_ParseTuple(arguments, "y*O!OKKO!", &body, &PyList_Type, &scopes, &work.choose, &earliest_ns, &latest_ns,
                          &PyDict_Type, &work.kinds))
        return NULL;
    if (self->is_busy || self->names == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a scanner does one thing at a time");
        PyBuffer_Release(&body);
        return NULL;
    }
    self->is_busy = 1;
    work.earliest_ns = earliest_ns;
    work.latest_ns = latest_ns;
    work.body = body.buf;
    work.chosen = PyList_New(0);
    work.left = PyList_New(0);
    PyObject *answer = NULL, *amiss = PyList_New(0);
    if (work.chosen && work.left && amiss && scan_all(self, &work, body.len, scopes, amiss) == 0)
        answer = Py_BuildValue("(y#y#y#OOnO)", work.records.at ? (char *)work.records.at : "", work.records.size,
                               work.texts.at ? (char *)work.texts.at : "", work.texts.size,
                               work.sessions.at ? (char *)work.sessions.at : "", work.sessions.size, work.chosen,
                               work.left, work.others, amiss);
    self->is_busy = 0;
    PyMem_Free(work.records.at);
    PyMem_Free(work.texts.at);
    PyMem_Free(work.sessions.at);
    Py_XDECREF(work.chosen);
    Py_XDECREF(work.left);
    Py_XDECREF(amiss);
    PyBuffer_Release(&body);
    return answer;
}

PyDoc_STRVAR(scopes_doc,
"scopes(body)\n--\n\n"
"Where the spans of scopes lie: a list of (resource, scope, begin, end, spans), the first two as bytes.\n"
"Raises ValueError at damage.");

static int add_scope(PyObject *found, Bytes body, PyObject *resource, Part scope_spans)
{
    Bytes at = scope_spans.at, end = scope_spans.at + scope_spans.size;
    Part scope = {at, 0}, content;
    uint64_t number, plain;
    int type;
    Py_ssize_t spans = 0;
    while (at < end) {
        if (!field(&at, end, &number, &type, &content, &plain))
            return 0;
        if (number == 1 && type == 2)
            scope = content;
        spans += number == 2 && type == 2;
    }
    if (PyList_GET_SIZE(found) >= SCOPES_MAX)
        return 0;
    Py_ssize_t begin = scope_spans.at - body;
    PyObject *one = Py_BuildValue("(Oy#nnn)", resource, scope.at, scope.size, begin, begin + scope_spans.size, spans);
    int failed = one == NULL || PyList_Append(found, one) < 0;
    Py_XDECREF(one);
    return failed ? -1 : 1;
}

static PyObject *scopes(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer body;
    if (PyObject_GetBuffer(argument, &body, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *found = PyList_New(0);
    Bytes at = body.buf, end = at + body.len;
    uint64_t number, plain;
    int type, done = found != NULL ? 1 : -1;
    while (done > 0 && at < end) {
        Part resource_spans, content;
        done = field(&at, end, &number, &type, &resource_spans, &plain);
        if (done <= 0 || number != 1 || type != 2)
            continue;
        Part resource = {resource_spans.at, 0};
        PyObject *encoded = NULL; /* one for all scopes: its hash is worked out once */
        Bytes until = resource_spans.at + resource_spans.size;
        /* Twice: nothing says that the resource comes before its spans. */
        for (int turn = 0; turn < 2 && done > 0; turn++) {
            Bytes inner = resource_spans.at;
            while (done > 0 && inner < until) {
                done = field(&inner, until, &number, &type, &content, &plain);
                if (done <= 0 || type != 2)
                    continue;
                if (turn == 0 && number == 1)
                    resource = content;
                else if (turn == 1 && number == 2)
                    done = add_scope(found, body.buf, encoded, content);
            }
            if (turn == 0 && done > 0 && (encoded = bytes_of(resource)) == NULL)
                done = -1;
        }
        Py_XDECREF(encoded);
    }
    PyBuffer_Release(&body);
    if (done > 0)
        return found;
    Py_XDECREF(found);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "the request is damaged");
    return NULL;
}

/* --- requests in JSON, and reports with a key in common */

#include "_json.h"

#include "_chains.h"
#include "_counts.h"
#include "_values.h"

/* --- the object */

static int parts_of(PyObject *names, Part *parts, int most)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    if (count > most) {
        PyErr_SetString(PyExc_ValueError, "there are too many names");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PyTuple_GET_ITEM(names, i);
        if (!PyBytes_CheckExact(one) || PyBytes_GET_SIZE(one) == 0) {
            PyErr_SetString(PyExc_TypeError, "names are bytes, and not empty");
            return -1;
        }
        parts[i].at = (Bytes)PyBytes_AS_STRING(one);
        parts[i].size = PyBytes_GET_SIZE(one);
    }
    return (int)count;
}

PyDoc_STRVAR(scanner_doc,
"Scanner(hash_seed, hash_factor, names, chosen_from, beginnings, odd_beginnings)\n--\n\n"
"Reads spans. Names of attributes have the numbers of their places among `names`; those from `chosen_from` on are\n"
"chosen. Spans with names that begin like one of `beginnings` are looked at, and left to Python when an unknown name\n"
"begins like one of `odd_beginnings`.");

static int scanner_init(Scanner *self, PyObject *arguments, PyObject *keywords)
{
    PyObject *names, *beginnings, *odd_beginnings;
    unsigned long long hash_seed, hash_factor;
    int chosen_from;
    if (keywords != NULL && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "all arguments are positional");
        return -1;
    }
    if (!PyArg_ParseTuple(arguments, "KKO!iO!O!", &hash_seed, &hash_factor, &PyTuple_Type, &names, &chosen_from,
                          &PyTuple_Type, &beginnings, &PyTuple_Type, &odd_beginnings))
        return -1;
    if (self->names != NULL) {
        PyErr_SetString(PyExc_TypeError, "a scanner is made once");
        return -1;
    }
    self->hash_seed = hash_seed;
    self->hash_factor = hash_factor;
    self->names = Py_NewRef(names);
    self->beginnings = Py_NewRef(beginnings);
    self->odd_beginnings = Py_NewRef(odd_beginnings);
    self->names_count = parts_of(names, self->name, NAMES_MAX);
    self->beginnings_count = parts_of(beginnings, self->beginning, BEGINNINGS_MAX);
    self->odd_beginnings_count = parts_of(odd_beginnings, self->odd_beginning, BEGINNINGS_MAX);
    if (self->names_count < 0 || self->beginnings_count < 0 || self->odd_beginnings_count < 0)
        return -1;
    if (chosen_from < 0 || chosen_from > self->names_count) {
        PyErr_SetString(PyExc_ValueError, "the chosen names are among the names");
        return -1;
    }
    self->chosen_from = chosen_from;
    for (int i = 0; i < self->beginnings_count; i++)
        self->is_first_letter[self->beginning[i].at[0]] = 1;
    for (int i = 0; i < self->odd_beginnings_count; i++)
        self->is_first_of_odd[self->odd_beginning[i].at[0]] = 1;
    memset(self->table, 0xFF, sizeof self->table);
    for (int i = 0; i < self->names_count; i++) {
        Part name = self->name[i];
        uint32_t slot = hashed(name.at, name.size);
        while (self->table[slot] != NOTHING)
            slot = (slot + 1) & (TABLE_SIZE - 1);
        self->table[slot] = (uint16_t)i;
        self->is_telling[i] = (uint8_t)begins(self->beginning, self->beginnings_count, name.at, name.size);
    }
    return 0;
}

static void scanner_dealloc(Scanner *self)
{
    Py_XDECREF(self->names);
    Py_XDECREF(self->beginnings);
    Py_XDECREF(self->odd_beginnings);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef scanner_methods[] = {
    {"scan", (PyCFunction)scan, METH_VARARGS, scan_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject scanner_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "monitor.traffic.lookout._scan.Scanner",
    .tp_basicsize = sizeof(Scanner),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = scanner_doc,
    .tp_methods = scanner_methods,
    .tp_init = (initproc)scanner_init,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)scanner_dealloc,
};

static PyMethodDef module_methods[] = {
    {"scopes", scopes, METH_O, scopes_doc},
    {"as_protobuf", as_protobuf, METH_O, as_protobuf_doc},
    {"chain", chain, METH_VARARGS, chain_doc},
    {"suspects", suspects, METH_VARARGS, suspects_doc},
    {"costs", costs, METH_VARARGS, costs_doc},
    {"everyday", everyday, METH_VARARGS, everyday_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_scan", .m_size = -1, .m_methods = module_methods,
};

PyMODINIT_FUNC PyInit__scan(void)
{
    const uint16_t one = 1;
    if (*(const uint8_t *)&one != 1) {
        PyErr_SetString(PyExc_ImportError, "numbers are read as they are written: little end first");
        return NULL;
    }
    if (PyType_Ready(&scanner_type) < 0 || PyType_Ready(&counts_type) < 0)
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && (PyModule_AddObjectRef(made, "Scanner", (PyObject *)&scanner_type) < 0 ||
                         PyModule_AddObjectRef(made, "Counts", (PyObject *)&counts_type) < 0 ||
                         PyModule_AddStringConstant(made, "SOURCE_MARK", SOURCE_MARK) < 0))
        Py_CLEAR(made);
    return made;
}
