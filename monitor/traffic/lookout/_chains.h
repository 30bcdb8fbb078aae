/* Chains reports that have a key in common, and says which of them may have to do with one that came before.
 *
 * The same as `joining/chains.py` does without it, to the last mark, at a tenth of the price for few reports: that one
 * says what all of this means. The tables are its arrays. Include it behind the scanner's `Record`.
 */

#define STEPS_MAX 8
#define UNDECIDED (-1)
#define FETCHED 16 /* reports whose slots are fetched from memory while those before are chained */

enum { SPAN, ABOVE, ANSWER, ANSWER_IN_TRACE, KEYS };
enum { HAS_ENDING = 2, IS_DECLARED = 1 };

typedef struct {
    Py_buffer buffers[10];
    int count; /* of the buffers that are held */
    uint64_t *keys, *id_hash, *voice;
    uint16_t *back;
    int64_t *latest, *start_ns, *end_ns, *input;
    uint8_t *facts, *is_shared;
    int64_t room, slots, oldest;
} Tables;

static void let_go(Tables *tables)
{
    while (tables->count > 0)
        PyBuffer_Release(&tables->buffers[--tables->count]);
}

static int is_power_of_two(int64_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

/* Hold the arrays of (keys, back, latest, start, end, input, id_hash, voice, facts, is_shared). 0 with an exception. */
static int hold(Tables *tables, PyObject *arrays)
{
    static const int sizes[10] = {8 * KEYS, 2 * KEYS, 0, 8, 8, 8, 8, 8, 1, 1}; /* bytes of each for a report */
    if (PyTuple_GET_SIZE(arrays) != 10) {
        PyErr_SetString(PyExc_ValueError, "there are ten tables");
        return 0;
    }
    for (; tables->count < 10; tables->count++)
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(arrays, tables->count), &tables->buffers[tables->count],
                               PyBUF_WRITABLE) < 0) {
            let_go(tables);
            return 0;
        }
    tables->room = tables->buffers[8].len;
    tables->slots = tables->buffers[2].len / (8 * KEYS);
    int fits = is_power_of_two(tables->room) && tables->room <= 1 << 16 && is_power_of_two(tables->slots);
    for (int i = 0; i < 10; i++)
        fits = fits && (i == 2 ? tables->buffers[2].len == tables->slots * 8 * KEYS
                               : tables->buffers[i].len == tables->room * sizes[i]);
    if (!fits) {
        let_go(tables);
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return 0;
    }
    tables->keys = tables->buffers[0].buf;
    tables->back = tables->buffers[1].buf;
    tables->latest = tables->buffers[2].buf;
    tables->start_ns = tables->buffers[3].buf;
    tables->end_ns = tables->buffers[4].buf;
    tables->input = tables->buffers[5].buf;
    tables->id_hash = tables->buffers[6].buf;
    tables->voice = tables->buffers[7].buf;
    tables->facts = tables->buffers[8].buf;
    tables->is_shared = tables->buffers[9].buf;
    return 1;
}

static inline uint64_t mixed(uint64_t value, uint64_t factor)
{
    value *= factor;
    return value ^ (value >> 32);
}

static inline int64_t sum(int64_t one, int64_t other)
{
    return (int64_t)((uint64_t)one + (uint64_t)other); /* beyond all clocks it goes round, as numpy's does */
}

/* What a report is chained by; 0 where there is nothing. */
static inline void keys_of(const Record *one, uint64_t seed, uint64_t factor, uint64_t keys[KEYS])
{
    uint64_t trace_high, trace_low, span, parent;
    memcpy(&trace_high, one->trace_id, 8);
    memcpy(&trace_low, one->trace_id + 8, 8);
    memcpy(&span, one->span_id, 8);
    memcpy(&parent, one->parent_id, 8);
    uint64_t trace = mixed(mixed(trace_high ^ seed, factor) ^ trace_low, factor);
    uint64_t answer = one->has_telling_id ? one->id_hash : 0;
    keys[SPAN] = mixed(trace ^ span, factor) | 1;
    keys[ABOVE] = parent ? mixed(trace ^ parent, factor) | 1 : 0;
    keys[ANSWER] = answer;
    keys[ANSWER_IN_TRACE] = answer ? mixed(trace ^ answer, factor) | 1 : 0;
}

/* Where the number of the latest report lies whose key falls into the same slot. */
static inline int64_t *latest_at(const Tables *tables, int kind, uint64_t key)
{
    return &tables->latest[kind * tables->slots + (int64_t)(key & (uint64_t)(tables->slots - 1))];
}

static inline void chain_one(Tables *tables, const Record *one, const uint64_t keys[KEYS], int64_t number, uint64_t voice,
                             uint8_t facts)
{
    int64_t place = number & (tables->room - 1);
    tables->voice[place] = voice;
    tables->facts[place] = facts;
    tables->start_ns[place] = (int64_t)one->start_ns;
    tables->end_ns[place] = (int64_t)one->end_ns;
    tables->input[place] = one->asked;
    tables->id_hash[place] = one->id_hash;
    for (int kind = 0; kind < KEYS; kind++) {
        int64_t at = kind * tables->room + place;
        tables->keys[at] = keys[kind];
        tables->back[at] = 0;
        if (keys[kind]) {
            int64_t *latest = latest_at(tables, kind, keys[kind]), distance = number - *latest;
            if (distance < tables->room)
                tables->back[at] = (uint16_t)distance;
            *latest = number;
        }
    }
}

PyDoc_STRVAR(chain_doc,
"chain(tables, records, voices, facts, first, seed, factor)\n--\n\n"
"Chain reports, the first of which has the number `first`. `voices` and `facts` are those of their kinds.");

static PyObject *chain(PyObject *module, PyObject *arguments)
{
    (void)module;
    Tables tables = {0};
    PyObject *arrays;
    Py_buffer records, voices, facts;
    long long first;
    unsigned long long seed, factor;
    if (!PyArg_ParseTuple(arguments, "O!y*y*y*LKK", &PyTuple_Type, &arrays, &records, &voices, &facts, &first, &seed,
                          &factor))
        return NULL;
    Py_ssize_t count = records.len / (Py_ssize_t)sizeof(Record), kinds = facts.len;
    int done = hold(&tables, arrays);
    if (done && (first < 1 || count > tables.room || first > INT64_MAX - count || voices.len != 8 * kinds)) {
        PyErr_SetString(PyExc_ValueError, "there is no room for so many");
        done = 0;
    }
    uint64_t keys[FETCHED][KEYS];
    for (Py_ssize_t begin = 0; done && begin < count; begin += FETCHED) {
        const Record *at = (const Record *)records.buf + begin;
        Py_ssize_t some = count - begin < FETCHED ? count - begin : FETCHED;
        for (Py_ssize_t i = 0; i < some; i++) {
            keys_of(at + i, seed, factor, keys[i]);
            for (int kind = 0; kind < KEYS; kind++)
                __builtin_prefetch(latest_at(&tables, kind, keys[i][kind]), 1);
        }
        for (Py_ssize_t i = 0; done && i < some; i++) {
            if (at[i].kind >= kinds) {
                PyErr_SetString(PyExc_ValueError, "there is no such kind");
                done = 0;
            } else {
                uint64_t voice;
                memcpy(&voice, (const uint8_t *)voices.buf + 8 * at[i].kind, 8);
                chain_one(&tables, at + i, keys[i], first + begin + i, voice, ((const uint8_t *)facts.buf)[at[i].kind]);
            }
        }
    }
    let_go(&tables);
    PyBuffer_Release(&records);
    PyBuffer_Release(&voices);
    PyBuffer_Release(&facts);
    return done ? Py_NewRef(Py_None) : NULL;
}

/* What a report is chained to; 0 where it is to none. */
static inline int64_t chained_to(const Tables *tables, int kind, int64_t number)
{
    uint16_t distance = tables->back[kind * tables->room + (number & (tables->room - 1))];
    return distance ? number - distance : 0;
}

/* The latest report with this key before another one, along the chain that begins there. */
static inline int64_t along(const Tables *tables, int kind, int64_t at, uint64_t key, int64_t before)
{
    if (key == 0 || at < tables->oldest)
        return 0;
    for (int step = 0; step < STEPS_MAX; step++) {
        if (tables->keys[kind * tables->room + (at & (tables->room - 1))] == key && at < before)
            return at;
        at = chained_to(tables, kind, at);
        if (at < tables->oldest)
            return 0;
    }
    return UNDECIDED;
}

/* The same from the chain's beginning, and from the report that came before one with the same key. */
static inline int64_t latest_of(const Tables *tables, int kind, uint64_t key, int64_t before)
{
    return along(tables, kind, *latest_at(tables, kind, key), key, before);
}

static inline int64_t one_before(const Tables *tables, int kind, int64_t number)
{
    uint64_t key = tables->keys[kind * tables->room + (number & (tables->room - 1))];
    return along(tables, kind, chained_to(tables, kind, number), key, number);
}

/* Whether a report may tell of the same call as the one above it. */
static int tell_one(const Tables *tables, int64_t parent_number, int64_t number, int64_t slack, int64_t within)
{
    if (parent_number == UNDECIDED || one_before(tables, ABOVE, number) != 0)
        return 1;
    int64_t place = number & (tables->room - 1), parent = parent_number & (tables->room - 1);
    uint8_t mine = tables->facts[place], above = tables->facts[parent];
    if (!(above & IS_DECLARED))
        return 1;
    int64_t start = tables->start_ns[place], end = tables->end_ns[parent];
    uint64_t my_id = tables->id_hash[place], id = tables->id_hash[parent];
    if (above >> 2 != mine >> 2 || start > sum(end, slack) || (id && my_id && id != my_id))
        return 0;
    int64_t tokens = tables->input[parent], my_tokens = tables->input[place];
    int is_apart = (tokens >= 0 && my_tokens >= 0 && tokens != my_tokens) || start > sum(end, within) ||
                   tables->start_ns[parent] > sum(start, within);
    int is_alone = tables->voice[parent] == tables->voice[place] && !(mine & HAS_ENDING) && !(id && id == my_id);
    return !(is_alone && is_apart);
}

/* Mark the reports whose answer is told by several emitters. */
static void share_answers(Tables *tables, int64_t first, Py_ssize_t count, int64_t *same, uint8_t *marks)
{
    int64_t mask = tables->room - 1;
    for (Py_ssize_t i = 0; i < count; i++) {
        same[i] = one_before(tables, ANSWER, first + i);
        marks[i] = same[i] == UNDECIDED ||
                   (same[i] > 0 && tables->voice[same[i] & mask] != tables->voice[(first + i) & mask]);
    }
    int more = 1;
    for (int step = 0; more; step++) {
        for (Py_ssize_t i = 0; i < count; i++)
            tables->is_shared[(first + i) & mask] = step == STEPS_MAX ? 1 : marks[i];
        if (step == STEPS_MAX) {
            for (Py_ssize_t i = 0; i < count; i++)
                marks[i] |= same[i] > 0;
            return;
        }
        more = 0;
        /* What is known of the one before holds for this one, which may be the one before of the next. */
        for (Py_ssize_t i = 0; i < count; i++)
            if (!marks[i] && same[i] > 0 && tables->is_shared[same[i] & mask])
                marks[i] = more = 1;
    }
}

PyDoc_STRVAR(suspects_doc,
"suspects(tables, first, end, oldest, slack, within) -> bytearray\n--\n\n"
"A 1 for each report with these numbers that may have to do with one that came before it, and a 0 for each other.");

static PyObject *suspects(PyObject *module, PyObject *arguments)
{
    (void)module;
    Tables tables = {0};
    PyObject *arrays;
    long long first, end, oldest, slack, within;
    if (!PyArg_ParseTuple(arguments, "O!LLLLL", &PyTuple_Type, &arrays, &first, &end, &oldest, &slack, &within))
        return NULL;
    if (!hold(&tables, arrays))
        return NULL;
    tables.oldest = oldest;
    if (oldest < 1 || first < oldest || end < first || end - oldest > tables.room) {
        let_go(&tables);
        PyErr_SetString(PyExc_ValueError, "there are no such numbers");
        return NULL;
    }
    Py_ssize_t count = (Py_ssize_t)(end - first);
    PyObject *found = PyByteArray_FromStringAndSize(NULL, count);
    int64_t *same = PyMem_Malloc(sizeof(int64_t) * (size_t)(count + 1));
    uint8_t *again = PyMem_Malloc((size_t)count + 1);
    if (found == NULL || same == NULL || again == NULL) {
        Py_CLEAR(found);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
    } else {
        uint8_t *marks = (uint8_t *)PyByteArray_AS_STRING(found);
        share_answers(&tables, first, count, same, marks);
        for (Py_ssize_t i = 0; i < count; i++)
            again[i] = one_before(&tables, SPAN, first + i) != 0;
        for (Py_ssize_t i = 0; i < count; i++) {
            int64_t number = first + i, place = number & (tables.room - 1);
            uint64_t above = tables.keys[ABOVE * tables.room + place];
            int64_t parent = latest_of(&tables, SPAN, above, number);
            marks[i] = marks[i] || again[i] || latest_of(&tables, ABOVE, tables.keys[place], number) != 0 ||
                       one_before(&tables, ANSWER_IN_TRACE, number) != 0 ||
                       (parent >= first && again[parent - first]) ||
                       (parent != 0 && tell_one(&tables, parent, number, slack, within));
        }
    }
    PyMem_Free(same);
    PyMem_Free(again);
    let_go(&tables);
    return found;
}
