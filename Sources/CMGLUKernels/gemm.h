// The blocked product that stands in where no BLAS was found: panels of B and strips of A are
// packed, and a strip of ROWS x COLUMNS accumulators stays in registers.

enum { ROWS = 6, COLUMNS = 2 * LANES, DEPTH = 256, PANEL = 1024 };

// Packs `depth` x `width` of op(X) as strips of `strip` columns, zero-padded.
static void pack(bool transposed, const float *x, int64_t ld, int64_t depth, int64_t width,
                 int64_t strip, float *packed) {
  for (int64_t first = 0; first < width; first += strip)
    for (int64_t k = 0; k < depth; k++)
      for (int64_t j = first; j < first + strip; j++)
        *packed++ = j >= width ? 0 : transposed ? x[j * ld + k] : x[k * ld + j];
}

INLINE void multiply_strip(int64_t depth, const float *a, const float *b, vf c[ROWS][2]) {
  for (int64_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
    vf left = load(b, LANES), right = load(b + LANES, LANES);
    for (int i = 0; i < ROWS; i++) {
      c[i][0] += splat(a[i]) * left;
      c[i][1] += splat(a[i]) * right;
    }
  }
}

static void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                 const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate,
                 float *c, int64_t ldc, float *scratch) {
  float *panel = scratch, *strip = scratch + DEPTH * PANEL;
  for (int64_t first = 0; first < k || first == 0; first += DEPTH) {
    const int64_t depth = k - first < DEPTH ? k - first : DEPTH;
    const bool add_to = accumulate || first > 0;
    for (int64_t column = 0; column < n; column += PANEL) {
      const int64_t width = n - column < PANEL ? n - column : PANEL;
      pack(transpose_b, b + (transpose_b ? column * ldb + first : first * ldb + column), ldb, depth,
           width, COLUMNS, panel);
      for (int64_t row = 0; row < m; row += ROWS) {
        const int64_t rows = m - row < ROWS ? m - row : ROWS;
        pack(!transpose_a, a + (transpose_a ? first * lda + row : row * lda + first), lda, depth,
             rows, ROWS, strip);
        for (int64_t j = 0; j < width; j += COLUMNS) {
          vf product[ROWS][2] = {};
          multiply_strip(depth, strip, panel + j * depth, product);
          for (int64_t i = 0; i < rows; i++)
            for (int64_t half = 0; half < 2; half++) {
              const int64_t at = j + half * LANES, left = width - at;
              if (left <= 0) continue;
              const int64_t lanes = left < LANES ? left : LANES;
              float *out = c + (row + i) * ldc + column + at;
              vf value = product[i][half];
              store(out, add_to ? value + load(out, lanes) : value, lanes);
            }
        }
      }
    }
  }
}
