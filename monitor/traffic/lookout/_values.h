/* What calls cost at rates that hold for their shapes, and which calls are of everyday size.
 *
 * The same as `pricing/book.py` and `rows.py` do without it, to the last bit: those say what it means. No product may be
 * added to a sum with one rounding only (`-ffp-contract=off`). Include it behind the scanner's `Record`.
 */

/* Rates as `pricing.book` packs them. */
typedef struct {
    double input, cached, written, output, request, tokens_max;
    int64_t basis;
    uint8_t is_embedding;
} Tariff;

PyDoc_STRVAR(costs_doc,
"costs(records, tariffs, unpriced) -> (costs, bases, left)\n--\n\n"
"What calls cost at the tariffs of their kinds, not a number where that is not known, the number of how sure it is, and\n"
"the places of those that need a closer look. `unpriced` is the number for calls without a cost.");

static PyObject *costs(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer records, tariffs;
    long long unpriced;
    if (!PyArg_ParseTuple(arguments, "y*y*L", &records, &tariffs, &unpriced))
        return NULL;
    Py_ssize_t count = records.len / (Py_ssize_t)sizeof(Record), kinds = tariffs.len / (Py_ssize_t)sizeof(Tariff);
    PyObject *found = PyByteArray_FromStringAndSize(NULL, 8 * count);
    PyObject *bases = PyByteArray_FromStringAndSize(NULL, 8 * count), *left = PyList_New(0);
    int done = found != NULL && bases != NULL && left != NULL;
    for (Py_ssize_t i = 0; done && i < count; i++) {
        const Record *one = (const Record *)records.buf + i;
        if (one->kind >= kinds) {
            PyErr_SetString(PyExc_ValueError, "there is no such kind");
            done = 0;
            break;
        }
        const Tariff *tariff = (const Tariff *)tariffs.buf + one->kind;
        int64_t given = one->asked, output = not_negative(one->output);
        int64_t cached = not_negative(one->cached), written = not_negative(one->written);
        double cost = NAN;
        int can_be = given >= 0 && (tariff->is_embedding || one->output >= 0) && sum(cached, written) <= given;
        if (can_be) {
            double asked = (double)(given - cached - written) * tariff->input;
            asked = asked + (double)cached * tariff->cached + (double)written * tariff->written;
            cost = asked + (double)output * tariff->output + tariff->request;
            if (!((double)given <= tariff->tokens_max) || cost == 0) {
                PyObject *place = PyLong_FromSsize_t(i);
                done = place != NULL && PyList_Append(left, place) == 0;
                Py_XDECREF(place);
                cost = NAN;
            }
        }
        int64_t basis = isnan(cost) ? unpriced : tariff->basis;
        memcpy(PyByteArray_AS_STRING(found) + 8 * i, &cost, 8);
        memcpy(PyByteArray_AS_STRING(bases) + 8 * i, &basis, 8);
    }
    PyBuffer_Release(&records);
    PyBuffer_Release(&tariffs);
    PyObject *told = done ? PyTuple_Pack(3, found, bases, left) : NULL;
    Py_XDECREF(found);
    Py_XDECREF(bases);
    Py_XDECREF(left);
    return told;
}

PyDoc_STRVAR(everyday_doc,
"everyday(records, most) -> bytearray\n--\n\n"
"A 1 for each call with no more tokens, seconds and tokens a second than `most`, and a 0 for each other.");

static PyObject *everyday(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer records;
    double most;
    if (!PyArg_ParseTuple(arguments, "y*d", &records, &most))
        return NULL;
    Py_ssize_t count = records.len / (Py_ssize_t)sizeof(Record);
    PyObject *found = PyByteArray_FromStringAndSize(NULL, count);
    for (Py_ssize_t i = 0; found != NULL && i < count; i++) {
        const Record *one = (const Record *)records.buf + i;
        double duration = took(one), writing = duration - (isnan(one->waited) ? 0.0 : one->waited);
        int is_too_fast = one->output > 0 && writing > 0 && (double)one->output / writing > most;
        PyByteArray_AS_STRING(found)[i] =
            duration <= most && !(one->waited > most) && !is_too_fast && (double)one->asked <= most &&
            (double)one->cached <= most && (double)one->written <= most && (double)one->output <= most;
    }
    PyBuffer_Release(&records);
    return found;
}
