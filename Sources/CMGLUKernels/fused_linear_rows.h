// Which masks, planes and inputs a walk along a row takes together.

#define ROW_FUNCTION(name, type) \
  INLINE void name(int count, int planes, int inputs, const row_view *r, vf *out) { \
    exact_row(type, count, planes, inputs, r, out);                                 \
  }
ROW_FUNCTION(f32_row, CMGLU_F32)
ROW_FUNCTION(f16_row, CMGLU_F16)
ROW_FUNCTION(wide_bf16_row, CMGLU_BF16)
ROW_FUNCTION(wide_int8_row, CMGLU_I8)

// Rows of x together: as many as the sums leave registers for. A row's sums are the same in any
// company.
INLINE int inputs_together(int64_t masks) {
#if defined(CMGLU_AVX512)
  return masks <= 1 ? 4 : masks < 8 ? 2 : 1;
#else
  return masks == 0 ? 2 : 1;
#endif
}

#define KEY(count, planes, inputs) ((count) * 16 + (planes) * 8 - 8 + (inputs))
#define CASE(function, count, planes, inputs)                                     \
  case KEY(count, planes, inputs):                                                \
    for (int64_t i = 0; i < rows; i++, r = next_row(r, planes, size))             \
      function(count, planes, inputs, &r, out + i);                               \
    break;
#if defined(CMGLU_AVX512)
#define CASES_TOGETHER(f) \
  CASE(f, 0, 1, 4) CASE(f, 0, 2, 4) CASE(f, 1, 1, 4) \
  CASE(f, 1, 1, 2) CASE(f, 2, 1, 2) CASE(f, 4, 1, 2)
#else
#define CASES_TOGETHER(f) CASE(f, 0, 1, 2) CASE(f, 0, 2, 2)
#endif
#define WALK(f) \
  switch (KEY(count, planes, inputs)) { \
    CASE(f, 0, 1, 1) CASE(f, 0, 2, 1) CASE(f, 1, 1, 1) CASE(f, 2, 1, 1) CASE(f, 4, 1, 1) \
    CASE(f, 8, 1, 1) CASES_TOGETHER(f) \
  }

INLINE row_view next_row(row_view r, int planes, int64_t size) {
  const int64_t groups = group_count(r.columns);
  EACH(plane, planes) {
    r.w[plane] += r.columns * size;
    if (size == 1) r.scales[plane] += groups * 2;  // CMGLU_I8
  }
  r.words += (groups + 1) / 2 * r.masks;
  return r;
}

// The choice of a kernel costs as much as a short row: it is made once for many.
static void some_sums(cmglu_data_type type, cmglu_precision precision, int count, int planes,
                      int inputs, row_view r, int64_t rows, vf *out) {
  const bool reduced = precision == CMGLU_REDUCED;
  const int64_t size = weight_size(type);
  switch (type) {
    case CMGLU_F32: WALK(f32_row); break;
    case CMGLU_F16: WALK(f16_row); break;
    case CMGLU_BF16:
      if (reduced)
        WALK(bf16_row)
      else
        WALK(wide_bf16_row);
      break;
    case CMGLU_I8:
      if (reduced)
        WALK(int8_row)
      else
        WALK(wide_int8_row);
      break;
  }
}

// The sums of up to LANES rows: masks in passes of 8, 4, 2 or 1, of which all but the first find
// the rows in the cache.
static void block_sums(cmglu_data_type type, cmglu_precision precision, int planes, int inputs,
                       row_view r, int64_t rows, vf (*out)[LANES]) {
  const uint64_t *words = r.words;
  int64_t done = 0;
  do {
    const int64_t left = r.masks - done;
    const int count = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : (int)left;
    r.words = words + done;
    some_sums(type, precision, count, planes, inputs, r, rows, out[done]);
    done += count;
  } while (done < r.masks);
}
