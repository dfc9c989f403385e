// Causal attention of many rows of queries over the cache of their sequence, a block of it at a time:
// a running maximum and sum for each row in place of all of its scores (Dao et al. 2022).
enum {
  KEY_BLOCK = CMGLU_KEY_BLOCK,
  KEY_STRIP = 2 * LANES,                // keys whose scores are kept in registers,
  ROW_STRIP = LANES == 16 ? 8 : 4,      // for this many rows
};

// What a block of rows needs: the keys of a block, element by element of KEY_STRIP keys, the scores of
// a strip of rows, and the maximum and the sum of each row.
typedef struct {
  float *keys, *scores, *tops, *sums;
} attend_scratch;

// `count` keys; the strip's others become 0.
INLINE void pack_keys(const float *keys, int64_t size, int64_t count, float *packed) {
  for (int64_t first = 0; first < count; first += LANES) {
    float *const strip = packed + first / KEY_STRIP * KEY_STRIP * size + first % KEY_STRIP;
    const int64_t live = count - first < LANES ? count - first : LANES;
    FOR_VECTORS(j, m, size) {
      vf v[LANES] = {};
      for (int64_t i = 0; i < live; i++) v[i] = load(keys + (first + i) * size + j, m);
      transpose_vectors(v);
      for (int64_t i = 0; i < m; i++) store(strip + (j + i) * KEY_STRIP, v[i], LANES);
    }
    if (first % KEY_STRIP == 0 && count - first <= LANES)
      for (int64_t j = 0; j < size; j++) store(strip + j * KEY_STRIP + LANES, (vf){}, LANES);
  }
}

// scores[ROW_STRIP][KEY_BLOCK] of `count` packed keys.
INLINE void score_strip(const float *const queries[ROW_STRIP], int64_t size, const float *packed,
                        int64_t count, float *scores) {
  for (int64_t t = 0; t < count; t += KEY_STRIP, packed += KEY_STRIP * size) {
    vf s[ROW_STRIP][2] = {};
    for (int64_t j = 0; j < size; j++) {
      const vf left = load(packed + j * KEY_STRIP, LANES);
      const vf right = load(packed + j * KEY_STRIP + LANES, LANES);
      EACH(r, ROW_STRIP) {
        s[r][0] += splat(queries[r][j]) * left;
        s[r][1] += splat(queries[r][j]) * right;
      }
    }
    EACH(r, ROW_STRIP) {
      store(scores + r * KEY_BLOCK + t, s[r][0], LANES);
      store(scores + r * KEY_BLOCK + t + LANES, s[r][1], LANES);
    }
  }
}

// Scores become weights, zero before `start` and beyond the row's length; what was found before
// shrinks to the new maximum.
INLINE void weigh_row(float *scores, int64_t start, int64_t length, int64_t count, float scale,
                      bool begins, float *top, float *sum, float *out, int64_t size) {
  const int64_t seen = length - start;
  const float own = seen > 0 ? row_maximum(scores + start, seen) * scale : -INFINITY;
  const float before = begins ? -INFINITY : *top, now = before > own ? before : own;
  const float found = seen > 0 ? exponentiate(scores + start, scale, now, seen) : 0;
  memset(scores, 0, (size_t)start * sizeof(float));
  memset(scores + length, 0, (size_t)(count - length) * sizeof(float));
  if (begins) {
    *sum = found;
    memset(out, 0, (size_t)size * sizeof(float));
  } else {
    const float shrink = now == before ? 1 : expf(before - now);
    *sum = *sum * shrink + found;
    if (shrink != 1) FOR_VECTORS(j, m, size) store(out + j, load(out + j, m) * splat(shrink), m);
  }
  *top = now;
}

// out[r] += the weighted values, `vectors` vectors of them from element j on.
INLINE void sum_values(int vectors, const float *weights, const float *values, int64_t size,
                       int64_t count, int64_t m, float *const out[ROW_STRIP], int64_t j) {
  vf s[ROW_STRIP][2];
  EACH(r, ROW_STRIP) EACH(i, vectors) s[r][i] = load(out[r] + j + i * LANES, m);
  for (int64_t t = 0; t < count; t++) {
    vf v[2];
    EACH(i, vectors) v[i] = load(values + t * size + j + i * LANES, m);
    EACH(r, ROW_STRIP) EACH(i, vectors) s[r][i] += splat(weights[r * KEY_BLOCK + t]) * v[i];
  }
  EACH(r, ROW_STRIP) EACH(i, vectors) store(out[r] + j + i * LANES, s[r][i], m);
}

static void attend_rows(const float *queries, int64_t query_stride, int64_t heads, int64_t rows,
                        const float *keys, const float *values, const int32_t *blocks,
                        int64_t block_stride, int64_t size, int64_t position, int64_t window,
                        float scale, float *scratch, float *out, int64_t out_stride) {
  float *const scores = scratch + KEY_BLOCK * size, *const tops = scores + ROW_STRIP * KEY_BLOCK;
  float *const sums = tops + heads * CMGLU_ATTENDING_ROWS;
  float *const unused = sums + heads * CMGLU_ATTENDING_ROWS;  // results of rows that are not there
  const int64_t total = position + rows;
  // The first position that the first row sees; the block that holds it is where all rows begin.
  const int64_t visible = position + 1 < window ? 0 : position + 1 - window;
  const int64_t beginning = visible / KEY_BLOCK * KEY_BLOCK;
  for (int64_t first = beginning; first < total; first += KEY_BLOCK) {
    const int64_t some = total - first < KEY_BLOCK ? total - first : KEY_BLOCK;
    const int64_t offset = blocks[first / KEY_BLOCK] * block_stride;
    pack_keys(keys + offset, size, some, scratch);
    for (int64_t head = 0; head < heads; head++)
      for (int64_t row = 0; row < rows; row += ROW_STRIP) {
        const int64_t live = rows - row < ROW_STRIP ? rows - row : ROW_STRIP;
        // Keys of this block that the strip's last row sees.
        const int64_t seen = position + row + live - first;
        const int64_t count = seen < some ? seen : some;
        if (count <= 0) continue;
        const float *query[ROW_STRIP];
        float *result[ROW_STRIP];
        for (int64_t r = 0; r < ROW_STRIP; r++) {
          const int64_t at = row + (r < live ? r : live - 1);
          query[r] = queries + at * query_stride + head * size;
          result[r] = r < live ? out + at * out_stride + head * size : unused;
        }
        score_strip(query, size, scratch, count, scores);
        for (int64_t r = 0; r < ROW_STRIP; r++) {
          const int64_t own = position + row + r + 1 - first;
          const int64_t length = r >= live || own > count ? count : own < 0 ? 0 : own;
          const int64_t hidden = own - window < 0 || r >= live ? 0 : own - window;
          float spare[2];
          const int64_t at = head * CMGLU_ATTENDING_ROWS + row + r;
          weigh_row(scores + r * KEY_BLOCK, hidden < length ? hidden : length, length, count, scale,
                    first == beginning || r >= live, r < live ? tops + at : spare,
                    r < live ? sums + at : spare + 1, result[r], size);
        }
        int64_t j = 0;
        for (; j + KEY_STRIP <= size; j += KEY_STRIP)
          sum_values(2, scores, values + offset, size, count, LANES, result, j);
        for (; j < size; j += LANES)
          sum_values(1, scores, values + offset, size, count,
                     size - j < LANES ? size - j : LANES, result, j);
      }
  }
  for (int64_t head = 0; head < heads; head++)
    for (int64_t row = 0; row < rows; row++) {
      const vf share = splat(1.f / sums[head * CMGLU_ATTENDING_ROWS + row]);
      float *const result = out + row * out_stride + head * size;
      FOR_VECTORS(j, m, size) store(result + j, load(result + j, m) * share, m);
    }
}
