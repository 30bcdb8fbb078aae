/* Rewrites an OTLP request in JSON as protobuf, so that the scanner reads both.
 *
 * What is not written as requests usually are is not rewritten at all, whatever it is: Python reads it then, and says
 * what is wrong where something is. All that is read lies between `at` and `end`, and all that is written between `to`
 * and `to_end`; it is never longer than what was read. Include it behind the scanner's `Block` and `Words`.
 */

#define DEPTH_MAX 24
#define DIGITS_MAX 20
#define NUMBER_MAX 64
#define EXACT_DIGITS_MAX 15 /* a whole number of so many digits is exact as a double, and so is a power of ten */
#define FIELDS_MAX 16
#define MESSAGES_MAX 13
#define SLACK 64 /* bytes that may be written beyond what is kept: letters are copied in blocks */

enum kind { TEXT, HEX, FIXED64, FIXED32, COUNT, INTEGER, BOOLEAN, DOUBLE, MESSAGE, MESSAGES };

struct Message;

typedef struct {
    const char *name; /* with the quote and the colon behind it */
    uint8_t name_size, number;
    enum kind kind;
    uint8_t size_size; /* how many bytes its size takes mostly */
    const struct Message *message;
} Field;

typedef struct Message {
    uint8_t number, fields_count;
    Field fields[FIELDS_MAX];
} Message;

#define VALUE(name, number, kind) {name "\":", sizeof(name "\":") - 1, number, kind, 1, NULL}
#define PART(name, number, kind, size_size, message) {name "\":", sizeof(name "\":") - 1, number, kind, size_size, &message}

static const Message any_value, key_value;

static const Message array_value = {0, 1, {PART("values", 1, MESSAGES, 1, any_value)}};
static const Message key_values = {1, 1, {PART("values", 1, MESSAGES, 1, key_value)}};
static const Message any_value = {2, 6, {
    VALUE("stringValue", 1, TEXT), VALUE("boolValue", 2, BOOLEAN), VALUE("intValue", 3, INTEGER),
    VALUE("doubleValue", 4, DOUBLE), PART("arrayValue", 5, MESSAGE, 1, array_value),
    PART("kvlistValue", 6, MESSAGE, 1, key_values),
}};
static const Message key_value = {3, 2, {VALUE("key", 1, TEXT), PART("value", 2, MESSAGE, 1, any_value)}};
static const Message span_event = {4, 4, {
    VALUE("timeUnixNano", 1, FIXED64), VALUE("name", 2, TEXT), PART("attributes", 3, MESSAGES, 1, key_value),
    VALUE("droppedAttributesCount", 4, COUNT),
}};
static const Message span_link = {5, 6, {
    VALUE("traceId", 1, HEX), VALUE("spanId", 2, HEX), VALUE("traceState", 3, TEXT),
    PART("attributes", 4, MESSAGES, 1, key_value), VALUE("droppedAttributesCount", 5, COUNT),
    VALUE("flags", 6, FIXED32),
}};
static const Message span_status = {6, 2, {VALUE("message", 2, TEXT), VALUE("code", 3, COUNT)}};
static const Message whole_span = {7, 16, {
    VALUE("traceId", 1, HEX), VALUE("spanId", 2, HEX), VALUE("traceState", 3, TEXT), VALUE("parentSpanId", 4, HEX),
    VALUE("name", 5, TEXT), VALUE("kind", 6, COUNT), VALUE("startTimeUnixNano", 7, FIXED64),
    VALUE("endTimeUnixNano", 8, FIXED64), PART("attributes", 9, MESSAGES, 1, key_value),
    VALUE("droppedAttributesCount", 10, COUNT), PART("events", 11, MESSAGES, 1, span_event),
    VALUE("droppedEventsCount", 12, COUNT), PART("links", 13, MESSAGES, 1, span_link),
    VALUE("droppedLinksCount", 14, COUNT), PART("status", 15, MESSAGE, 1, span_status), VALUE("flags", 16, FIXED32),
}};
static const Message scope_alone = {8, 4, {
    VALUE("name", 1, TEXT), VALUE("version", 2, TEXT), PART("attributes", 3, MESSAGES, 1, key_value),
    VALUE("droppedAttributesCount", 4, COUNT),
}};
static const Message scope_spans = {9, 3, {
    PART("scope", 1, MESSAGE, 1, scope_alone), PART("spans", 2, MESSAGES, 2, whole_span), VALUE("schemaUrl", 3, TEXT),
}};
static const Message resource_alone = {10, 2, {
    PART("attributes", 1, MESSAGES, 1, key_value), VALUE("droppedAttributesCount", 2, COUNT),
}};
static const Message resource_spans = {11, 3, {
    PART("resource", 1, MESSAGE, 2, resource_alone), PART("scopeSpans", 2, MESSAGES, 3, scope_spans),
    VALUE("schemaUrl", 3, TEXT),
}};
static const Message whole_request = {12, 1, {PART("resourceSpans", 1, MESSAGES, 3, resource_spans)}};

typedef struct {
    Bytes at, end;
    uint8_t *to, *to_end;
    /* Which field of a message came behind which, the last time: a sender writes them in the same order always. */
    uint8_t next[MESSAGES_MAX][FIELDS_MAX + 1];
} Json;

/* Everything below gives 1 when it is done, and 0 when it is unusual. */

static inline void skip_space(Json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

static inline int takes(Json *json, uint8_t letter)
{
    skip_space(json);
    if (json->at >= json->end || *json->at != letter)
        return 0;
    json->at++;
    return 1;
}

static inline uint64_t eight(const void *at)
{
    uint64_t bytes;
    memcpy(&bytes, at, 8);
    return bytes;
}

static inline uint32_t four(const void *at)
{
    uint32_t bytes;
    memcpy(&bytes, at, 4);
    return bytes;
}

/* Step over these letters where they come next. */
#define STEPS_OVER(json, letters) \
    ((json)->end - (json)->at >= (Py_ssize_t)sizeof(letters) - 1 && \
     memcmp((json)->at, letters, sizeof(letters) - 1) == 0 && ((json)->at += sizeof(letters) - 1, 1))

/* The same for a name, which has 4 to 24 letters: most are told by their first ones, with no call of a function. */
static inline int steps_over(Json *json, const char *name, Py_ssize_t size)
{
    Bytes at = json->at;
    if (json->end - at < size)
        return 0;
    int is_same = size < 8 ? four(at) == four(name) && four(at + size - 4) == four(name + size - 4)
                           : eight(at) == eight(name) && eight(at + size - 8) == eight(name + size - 8) &&
                                 (size <= 16 || eight(at + 8) == eight(name + 8));
    json->at += is_same ? size : 0;
    return is_same;
}

static inline int has_room(Json *json, Py_ssize_t size)
{
    return json->to_end - json->to >= size;
}

static inline int put(Json *json, const void *bytes, Py_ssize_t size)
{
    if (!has_room(json, size))
        return 0;
    memcpy(json->to, bytes, (size_t)size);
    json->to += size;
    return 1;
}

static inline uint8_t *write_varint(uint8_t *to, uint64_t value)
{
    for (; value > 127; value >>= 7)
        *to++ = (uint8_t)(value | 128);
    *to++ = (uint8_t)value;
    return to;
}

static inline int put_varint(Json *json, uint64_t value)
{
    if (!has_room(json, 10))
        return 0;
    json->to = write_varint(json->to, value);
    return 1;
}

/* Write the size of what stands behind `begin`, where so many bytes were kept free for it. */
static int put_size(Json *json, uint8_t *begin, int kept)
{
    Py_ssize_t size = json->to - begin - kept;
    int needed = 1;
    for (uint64_t left = (uint64_t)size; left > 127; left >>= 7)
        needed++;
    if (needed != kept) {
        if (!has_room(json, needed - kept))
            return 0;
        memmove(begin + needed, begin + kept, (size_t)size);
    }
    write_varint(begin, (uint64_t)size);
    json->to = begin + needed + size;
    return 1;
}

/* The value of a hexadecimal digit, and one more; 0 of what is none. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static int unit_of(Json *json, uint32_t *unit)
{
    if (json->end - json->at < 4)
        return 0;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t digit = hex_digits[*json->at++];
        if (digit == 0)
            return 0;
        *unit = *unit * 16 + digit - 1;
    }
    return 1;
}

/* What stands behind a backslash. */
static int put_escaped(Json *json)
{
    if (json->at >= json->end)
        return 0;
    uint8_t letter = *json->at++;
    const char *escapes = "\"\"\\\\//b\bf\fn\nr\rt\t";
    for (int i = 0; escapes[i]; i += 2)
        if ((uint8_t)escapes[i] == letter)
            return put(json, escapes + i + 1, 1);
    uint32_t unit, low;
    if (letter != 'u' || !unit_of(json, &unit))
        return 0;
    if (unit >= 0xD800 && unit < 0xE000) {
        if (unit >= 0xDC00 || json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u')
            return 0;
        json->at += 2;
        if (!unit_of(json, &low) || low < 0xDC00 || low >= 0xE000)
            return 0;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    uint8_t bytes[4];
    int size = unit < 0x80 ? 1 : unit < 0x800 ? 2 : unit < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = size - 1; i > 0; i--, unit >>= 6)
        bytes[i] = (uint8_t)(0x80 | (unit & 63));
    bytes[0] = (uint8_t)(leads[size] | unit);
    return put(json, bytes, size);
}

/* How many bytes the letter takes that begins here with a byte of 128 or more; 0 where it is none of UTF-8. */
static int letter_size(Bytes at, Bytes end)
{
    uint8_t first = at[0];
    int size = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
    if (size == 0 || end - at < size)
        return 0;
    for (int i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    int is_odd = (first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] >= 0xA0) ||
                 (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] >= 0x90);
    return is_odd ? 0 : size;
}

/* Copy letters of a text up to the first that means something, or is none of ASCII. */
static inline void copy_letters(Json *json)
{
    Bytes at = json->at;
    uint8_t *to = json->to;
    for (; json->end - at >= BLOCK && json->to_end - to >= BLOCK; at += BLOCK, to += BLOCK) {
        Block block;
        memcpy(&block, at, BLOCK);
        memcpy(to, &block, BLOCK);
        /* With a sign, what is none of ASCII is below the letters, too. */
        Words stops = (Words)((block == '"') | (block == '\\') | ((SignedBlock)block < 32));
        if (stops[0] | stops[1]) {
            int plain = stops[0] ? __builtin_ctzll(stops[0]) / 8 : 8 + __builtin_ctzll(stops[1]) / 8;
            json->at = at + plain;
            json->to = to + plain;
            return;
        }
    }
    while (at < json->end && to < json->to_end && *at >= 32 && *at < 128 && *at != '"' && *at != '\\')
        *to++ = *at++;
    json->at = at;
    json->to = to;
}

/* The letters of a text, and the quote behind it. */
static int put_letters(Json *json)
{
    for (;;) {
        copy_letters(json);
        if (json->at >= json->end)
            return 0;
        uint8_t letter = *json->at;
        if (letter >= 128) {
            do {
                int size = letter_size(json->at, json->end);
                if (size == 0 || !put(json, json->at, size))
                    return 0;
                json->at += size;
            } while (json->at < json->end && *json->at >= 128);
            continue;
        }
        json->at++;
        if (letter == '"')
            return 1;
        if (letter != '\\' || !put_escaped(json))
            return 0;
    }
}

static int put_hex(Json *json)
{
    if (!takes(json, '"'))
        return 0;
    Bytes at = json->at;
    while (json->end - at >= 2 && *at != '"') {
        uint32_t high = hex_digits[at[0]], low = hex_digits[at[1]];
        if (high == 0 || low == 0 || !has_room(json, 1))
            return 0;
        *json->to++ = (uint8_t)((high - 1) * 16 + low - 1);
        at += 2;
    }
    json->at = at;
    return takes(json, '"');
}

/* Eight digits at once. */
static inline int digits_of(Bytes at, uint64_t *value)
{
    uint64_t digits = eight(at), nines = 0x0606060606060606ULL, high = 0xF0F0F0F0F0F0F0F0ULL;
    if ((digits & high) != 0x3030303030303030ULL || ((digits + nines) & high) != 0x3030303030303030ULL)
        return 0;
    digits = (digits & 0x0F0F0F0F0F0F0F0FULL) * 2561 >> 8;
    digits = (digits & 0x00FF00FF00FF00FFULL) * 6553601 >> 16;
    *value = (digits & 0x0000FFFF0000FFFFULL) * 42949672960001ULL >> 32;
    return 1;
}

/* A whole number, quoted or not. */
static int whole_of(Json *json, uint64_t *value, int *is_negative)
{
    skip_space(json);
    int is_quoted = json->at < json->end && *json->at == '"', digits = 0;
    json->at += is_quoted;
    *is_negative = json->at < json->end && *json->at == '-';
    json->at += *is_negative;
    Bytes first = json->at;
    uint64_t found = 0, more;
    for (; digits <= DIGITS_MAX - 8 - 1 && json->end - json->at >= 8 && digits_of(json->at, &more); digits += 8) {
        found = found * 100000000 + more;
        json->at += 8;
    }
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        uint64_t digit = (uint64_t)(*json->at++ - '0');
        /* Less than twenty digits are never too many. */
        if (++digits >= DIGITS_MAX && (digits > DIGITS_MAX || found > (UINT64_MAX - digit) / 10))
            return 0;
        found = found * 10 + digit;
    }
    *value = found;
    if (digits == 0 || (digits > 1 && *first == '0') || json->at >= json->end)
        return 0;
    if (is_quoted)
        return *json->at++ == '"';
    return *json->at == ',' || *json->at == '}' || *json->at == ' ' || *json->at == '\n' || *json->at == '\r';
}

/* What a number with a point is, where it is exact: a whole number by a power of ten. */
static int simple_double(const char *digits, const char *point, const char *end, double *value)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (end - digits > EXACT_DIGITS_MAX + 1)
        return 0;
    uint64_t whole = 0;
    for (const char *at = digits; at < end; at++) {
        if (at == point)
            continue;
        if (*at < '0' || *at > '9')
            return 0;
        whole = whole * 10 + (uint64_t)(*at - '0');
    }
    *value = (double)whole / powers[end - point - 1];
    return 1;
}

static int put_double(Json *json)
{
    char written[NUMBER_MAX + 1];
    int size = 0, is_broken = 0;
    skip_space(json);
    for (; json->at < json->end && size < NUMBER_MAX; json->at++) {
        uint8_t letter = *json->at;
        if (!((letter >= '0' && letter <= '9') || letter == '-' || letter == '+' || letter == '.' || (letter | 32) == 'e'))
            break;
        is_broken |= letter == '.';
        written[size++] = (char)letter;
    }
    written[size] = 0;
    /* As JSON has it: a digit before and behind the point, and no needless zero. Without a point it is a whole number. */
    const char *digits = written + (written[0] == '-');
    const char *point = strchr(digits, '.');
    if (!is_broken || size == NUMBER_MAX || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && point != digits + 1) ||
        point[1] < '0' || point[1] > '9')
        return 0;
    double value;
    if (simple_double(digits, point, written + size, &value)) {
        value = digits == written ? value : -value;
        return put(json, &value, 8);
    }
    char *stop = NULL;
    value = PyOS_string_to_double(written, &stop, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return stop == written + size && isfinite(value) && put(json, &value, 8);
}

/* An attribute as nearly all of them are written: without spaces, and short. At 0 nothing is read or written. */
static int put_short_attribute(Json *json)
{
    Bytes began = json->at;
    uint8_t *begin = json->to, *key = begin + 3, *value, *text;
    uint64_t whole = 0;
    int is_negative;
    /* [size] 0A [size] key 12 [size] and the value: 0A [size] text, 10 or 18 and a number */
    if (!has_room(json, SLACK) || !STEPS_OVER(json, "{\"key\":\""))
        goto otherwise;
    json->to = key;
    copy_letters(json);
    value = json->to;
    if (value - key > 127 || !has_room(json, SLACK) || !STEPS_OVER(json, "\",\"value\":{\""))
        goto otherwise;
    text = value + 4;
    if (STEPS_OVER(json, "stringValue\":\"")) {
        value[2] = 0x0A;
        json->to = text;
        copy_letters(json);
        if (json->to - text > 127 - 2 || !STEPS_OVER(json, "\"}}"))
            goto otherwise;
        value[3] = (uint8_t)(json->to - text);
    } else if (STEPS_OVER(json, "intValue\":") && whole_of(json, &whole, &is_negative) && !is_negative &&
               whole <= (uint64_t)INT64_MAX && STEPS_OVER(json, "}}")) {
        value[2] = 0x18;
        json->to = write_varint(value + 3, whole);
    } else {
        goto otherwise;
    }
    value[0] = 0x12;
    value[1] = (uint8_t)(json->to - value - 2);
    if (json->to - begin - 1 > 127)
        goto otherwise;
    begin[0] = (uint8_t)(json->to - begin - 1);
    begin[1] = 0x0A;
    begin[2] = (uint8_t)(value - key);
    return 1;
otherwise:
    json->at = began;
    json->to = begin;
    return 0;
}

static int put_message(Json *json, const Message *message, int depth);

static int put_messages(Json *json, const Field *field, int depth)
{
    if (!takes(json, '['))
        return 0;
    if (takes(json, ']'))
        return 1;
    do {
        if (!has_room(json, 1 + field->size_size))
            return 0;
        *json->to++ = (uint8_t)(field->number << 3 | 2);
        if (field->message == &key_value && depth + 1 < DEPTH_MAX && put_short_attribute(json))
            continue;
        uint8_t *begin = json->to;
        json->to += field->size_size;
        if (!put_message(json, field->message, depth) || !put_size(json, begin, field->size_size))
            return 0;
    } while (takes(json, ','));
    return takes(json, ']');
}

static int put_boolean(Json *json)
{
    skip_space(json);
    uint8_t truth = STEPS_OVER(json, "true") ? 1 : 0;
    return (truth || STEPS_OVER(json, "false")) && put(json, &truth, 1);
}

static int put_whole(Json *json, enum kind kind)
{
    uint64_t value;
    int is_negative;
    if (!whole_of(json, &value, &is_negative))
        return 0;
    if (kind == INTEGER)
        return value <= (uint64_t)INT64_MAX && put_varint(json, is_negative ? 0 - value : value);
    if (is_negative || (kind != FIXED64 && value > INT32_MAX))
        return 0;
    return kind == COUNT ? put_varint(json, value) : put(json, &value, kind == FIXED64 ? 8 : 4);
}

static int put_field(Json *json, const Field *field, int depth)
{
    static const uint8_t types[] = {2, 2, 1, 5, 0, 0, 0, 1, 2, 2};
    if (field->kind == MESSAGES)
        return put_messages(json, field, depth);
    if (!put_varint(json, (uint64_t)field->number << 3 | types[field->kind]))
        return 0;
    if (field->kind == DOUBLE)
        return put_double(json);
    if (field->kind == BOOLEAN)
        return put_boolean(json);
    if (types[field->kind] != 2)
        return put_whole(json, field->kind);
    uint8_t *begin = json->to;
    if (!has_room(json, field->size_size))
        return 0;
    json->to += field->size_size;
    int is_put = field->kind == TEXT  ? takes(json, '"') && put_letters(json)
                 : field->kind == HEX ? put_hex(json)
                                      : put_message(json, field->message, depth);
    return is_put && put_size(json, begin, field->size_size);
}

/* The field whose name comes next, behind its first quote; NULL where it is none that is known. */
static const Field *field_of(Json *json, const Message *message, const Field *previous)
{
    uint8_t *next = &json->next[message->number][previous ? previous - message->fields + 1 : 0];
    const Field *field = &message->fields[*next];
    if (steps_over(json, field->name, field->name_size))
        return field;
    for (uint8_t i = 0; i < message->fields_count; i++) {
        field = &message->fields[i];
        if (steps_over(json, field->name, field->name_size - 1)) {
            *next = i;
            return takes(json, ':') ? field : NULL;
        }
    }
    return NULL;
}

/* An object with fields that are known, each at most once; of those of a value, one alone. */
static int put_message(Json *json, const Message *message, int depth)
{
    if (depth >= DEPTH_MAX || !takes(json, '{'))
        return 0;
    if (takes(json, '}'))
        return 1;
    uint32_t seen = 0;
    const Field *field = NULL;
    do {
        if (!takes(json, '"') || (field = field_of(json, message, field)) == NULL)
            return 0;
        uint32_t place = 1u << (field - message->fields);
        if (seen & place || (seen && message == &any_value) || !put_field(json, field, depth + 1))
            return 0;
        seen |= place;
    } while (takes(json, ','));
    return takes(json, '}');
}

PyDoc_STRVAR(as_protobuf_doc,
"as_protobuf(body)\n--\n\n"
"The request in JSON as one in protobuf; None when anything in it is not written as usual.");

static PyObject *as_protobuf(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer body;
    if (PyObject_GetBuffer(argument, &body, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *answer = PyBytes_FromStringAndSize(NULL, body.len + SLACK);
    if (answer != NULL) {
        uint8_t *begin = (uint8_t *)PyBytes_AS_STRING(answer);
        Json json = {.at = body.buf, .end = (Bytes)body.buf + body.len, .to = begin, .to_end = begin + body.len + SLACK};
        int is_done = put_message(&json, &whole_request, 0);
        skip_space(&json);
        if (is_done && json.at == json.end)
            _PyBytes_Resize(&answer, json.to - begin); /* NULL without memory, with the exception */
        else
            Py_SETREF(answer, Py_NewRef(Py_None));
    }
    PyBuffer_Release(&body);
    return answer;
}
