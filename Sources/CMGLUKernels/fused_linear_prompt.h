// The rows of a prompt with AMX: tiles of 16 rows of x by 32 columns against tiles of 16 rows of W.
//
// A panel has 16 rows of W under one mask, or under none, as BF16 in the order in which a tile holds
// them: 32 columns after the other, pairs of columns together. It is made once for all rows of x, so
// that masks, narrow types, odd sizes and odd addresses end there. Every sum has one order over the
// columns, whatever the number of rows.
enum {
  TILE = 16,                             // rows of a tile
  TILE_BYTES = 64 * TILE,                // 32 columns of 16 rows
  MOST_DEPTH = 640,                      // columns of a panel: two panels stay in the first cache
  PANEL_BYTES = MOST_DEPTH / 32 * TILE_BYTES,
  WIDENED_BYTES = TILE * MOST_DEPTH * 2  // 16 rows of CMGLU_I8 weights as BF16
};

// What a pass over panels computes: `width` panels, of streams of 16 rows or of 32 rows of one stream.
typedef struct {
  const cmglu_packed *p;
  int64_t streams, width, depth;
  char *panels, *widened;
  float *sums, *results;  // [rows of x][width][TILE], [TILE][2][TILE]
} prompt_pass;

// Panels side by side.
INLINE int64_t panel_count(const cmglu_packed *p) {
  return p->gating == CMGLU_GATED || p->masks == 0 ? 2 : p->masks + 1;
}

INLINE prompt_pass prompt_pass_of(const cmglu_packed *p, char *scratch) {
  const int64_t parts = (p->columns + MOST_DEPTH - 1) / MOST_DEPTH;
  char *const widened = scratch + 2 * PANEL_BYTES, *const results = widened + 2 * WIDENED_BYTES;
  return (prompt_pass){.p = p,
                       .streams = p->gating == CMGLU_GATED ? 2 : p->masks + 1,
                       .width = panel_count(p),
                       .depth = ((p->columns + parts - 1) / parts + 31) / 32 * 32,
                       .panels = scratch,
                       .widened = widened,
                       .results = (float *)results,
                       .sums = (float *)(results + 2 * TILE_BYTES)};
}

static int64_t prompt_scratch(const cmglu_packed *p, int64_t batch) {
  return 2 * PANEL_BYTES + 2 * WIDENED_BYTES + 2 * TILE_BYTES +
         (batch + TILE - 1) / TILE * panel_count(p) * TILE_BYTES;
}

INLINE __mmask32 live_columns(int64_t left) { return left >= 32 ? ~0u : (1u << left) - 1; }

// Rows of CMGLU_I8 weights from column k on, each value rounded to BF16.
static void widen_rows(const cmglu_packed *p, int plane, int64_t first, int64_t rows, int64_t k,
                       int64_t depth, char *out) {
  const int64_t groups = group_count(p->columns);
  for (int64_t r = first; r < first + rows; r++, out += 2 * MOST_DEPTH) {
    const char *const w = (const char *)p->weights[plane] + r * p->columns + k;
    const char *const scales = (const char *)p->scales[plane] + (r * groups + k / CMGLU_GROUP) * 2;
    for (int64_t j = 0; j < depth; j += CMGLU_GROUP) {
      const __m256i q = _mm256_maskz_loadu_epi8(live_columns(depth - j), w + j);
      const __m512 scale = _mm512_set1_ps(load_half(scales, j / CMGLU_GROUP));
      const __m512i low = _mm512_cvtepi8_epi32(_mm256_castsi256_si128(q));
      const __m512i high = _mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1));
      const __m512bh pairs = _mm512_cvtne2ps_pbh(_mm512_mul_ps(_mm512_cvtepi32_ps(high), scale),
                                                 _mm512_mul_ps(_mm512_cvtepi32_ps(low), scale));
      _mm512_storeu_si512(out + 2 * j, (__m512i)pairs);
    }
  }
}

// `depth` columns of BF16 rows that lie `stride` bytes apart, under the bits of one mask unless NULL:
// those of the next 64 columns lie `masks` words on, those of the next row `row_words`.
static void pack_panel(const char *w, int64_t stride, int64_t rows, int64_t depth,
                       const uint64_t *bits, int64_t masks, int64_t row_words, int64_t k,
                       char *panel) {
  for (int64_t j = 0; j < depth; j += 32, panel += TILE_BYTES) {
    const __mmask32 live = live_columns(depth - j);
    vf v[TILE];
    UNROLL for (int r = 0; r < TILE; r++) {
      __mmask32 some = r < rows ? live : 0;
      if (bits && r < rows) {
        const uint64_t word = bits[r * row_words + (k + j) / CMGLU_WORD * masks];
        some &= (uint32_t)(word >> (k + j) % CMGLU_WORD);
      }
      v[r] = (vf)_mm512_maskz_loadu_epi16(some, w + r * stride + 2 * j);
    }
    transpose_vectors(v);
    EACH(r, TILE) *(vf *)(panel + 64 * r) = v[r];
  }
}

// The panel of stream `s` from column k on, for up to TILE rows of W.
INLINE void pack_stream(const prompt_pass *pass, int64_t s, int64_t first, int64_t rows, int64_t k,
                        int64_t depth, char *panel) {
  const cmglu_packed *const p = pass->p;
  const int plane = p->gating == CMGLU_GATED && s == 1;
  const int64_t row_words = (group_count(p->columns) + 1) / 2 * p->masks;
  const uint64_t *const bits = s < p->masks ? p->words + first * row_words + s : 0;
  if (p->type == CMGLU_I8) {
    // All streams but a GLU's second have the first plane.
    char *const widened = pass->widened + plane * WIDENED_BYTES;
    if (s == 0 || plane == 1) widen_rows(p, plane, first, rows, k, depth, widened);
    return pack_panel(widened, 2 * MOST_DEPTH, rows, depth, bits, p->masks, row_words, k, panel);
  }
  const char *const w = (const char *)p->weights[plane] + (first * p->columns + k) * 2;
  pack_panel(w, p->columns * 2, rows, depth, bits, p->masks, row_words, k, panel);
}

// Adds the products of one or two blocks of rows of x, which lie `size` bytes apart, with one or two
// panels to their sums, which lie `stride` bytes apart from row to row.
INLINE void multiply_tiles(int xs, int ws, const char *x, int64_t size, const char *panels,
                           int64_t depth, bool adds, float *sums, int64_t stride) {
  float *const next = (float *)((char *)sums + TILE * stride);
  if (adds) {
    _tile_loadd(0, sums, stride);
    if (ws > 1) _tile_loadd(1, sums + TILE, stride);
    if (xs > 1) _tile_loadd(2, next, stride);
    if (xs > 1 && ws > 1) _tile_loadd(3, next + TILE, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t j = 0; j < depth; j += 32, panels += TILE_BYTES) {
    _tile_loadd(4, x + 2 * j, size);
    _tile_loadd(6, panels, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (ws > 1) {
      _tile_loadd(7, panels + PANEL_BYTES, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (xs > 1) {
      _tile_loadd(5, x + TILE * size + 2 * j, size);
      _tile_dpbf16ps(2, 5, 6);
      if (ws > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, stride);
  if (ws > 1) _tile_stored(1, sums + TILE, stride);
  if (xs > 1) _tile_stored(2, next, stride);
  if (xs > 1 && ws > 1) _tile_stored(3, next + TILE, stride);
}

// All rows of x against one or two panels.
static void multiply_panels(const prompt_pass *pass, int64_t t, const char *x, int64_t size,
                            int64_t batch, int64_t k, int64_t depth) {
  const int64_t stride = pass->width * TILE * 4;
  const bool two = t + 1 < pass->width;
  for (int64_t b = 0; b < batch; b += 2 * TILE) {
    float *const sums = pass->sums + (b * pass->width + t) * TILE;
    const char *const rows = x + b * size + 2 * k;
    if (batch - b > TILE) {
      if (two)
        multiply_tiles(2, 2, rows, size, pass->panels, depth, k > 0, sums, stride);
      else
        multiply_tiles(2, 1, rows, size, pass->panels, depth, k > 0, sums, stride);
    } else if (two) {
      multiply_tiles(1, 2, rows, size, pass->panels, depth, k > 0, sums, stride);
    } else {
      multiply_tiles(1, 1, rows, size, pass->panels, depth, k > 0, sums, stride);
    }
  }
}

// The sums of up to 16 or 32 rows of W, combined into the outputs of all rows of x.
static void combine_sums(const prompt_pass *pass, int64_t rows, int64_t batch, const float *routes,
                         bool accumulate, float *a, int64_t stride) {
  const cmglu_packed *const p = pass->p;
  const int64_t count = pass->width * TILE, width = pass->streams == 1 ? count : TILE;
  const bool plain = p->gating == CMGLU_LINEAR && p->activation == CMGLU_IDENTITY;
  for (int64_t b = 0; b < batch; b += TILE) {
    const int64_t some = batch - b < TILE ? batch - b : TILE;
    const float *found = pass->sums + b * count;
    if (!plain) {
      combine(p->gating, p->activation, p->masks, width, found, routes ? routes + b * p->masks : 0,
              pass->results, 0, some);
      found = pass->results;
    }
    for (int64_t n = 0; n < some; n++, found += width) {
      float *const out = a + (b + n) * stride;
      FOR_VECTORS(j, m, rows) {
        const vf value = load(found + j, m);
        store(out + j, accumulate ? load(out + j, m) + value : value, m);
      }
    }
  }
}

static void configure_tiles(void) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    configuration.row_bytes[i] = 64;
    configuration.rows[i] = TILE;
  }
  _tile_loadconfig(&configuration);
}

static void fused_linear_prompt(const cmglu_packed *p, const void *prepared, int64_t batch,
                                const float *routes, bool accumulate, float *a, int64_t stride,
                                int64_t begin, int64_t end, void *scratch) {
  const prompt_pass pass = prompt_pass_of(p, scratch);
  const int64_t size = cmglu_prepared_size(p->columns);
  const int64_t step = pass.streams == 1 ? 2 * TILE : TILE;
  configure_tiles();
  for (int64_t first = begin; first < end; first += step) {
    const int64_t rows = end - first < step ? end - first : step;
    for (int64_t k = 0; k < p->columns; k += pass.depth) {
      const int64_t left = p->columns - k, depth = left < pass.depth ? left : pass.depth;
      for (int64_t t = 0; t < pass.width; t += 2) {
        for (int64_t i = t; i < t + 2 && i < pass.width; i++) {
          char *const panel = pass.panels + (i - t) * PANEL_BYTES;
          if (pass.streams > 1)
            pack_stream(&pass, i, first, rows, k, depth, panel);
          else
            pack_stream(&pass, 0, first + i * TILE, i == 0 && rows > TILE ? TILE : rows - i * TILE,
                        k, depth, panel);
        }
        multiply_panels(&pass, t, prepared, size, batch, k, depth);
      }
    }
    combine_sums(&pass, rows, batch, routes, accumulate, a + first, stride);
  }
  _tile_release();
}

static void prepare_prompt(const float *x, int64_t columns, void *prepared) {
  prepare(CMGLU_BF16, CMGLU_REDUCED, x, columns, prepared);
}
