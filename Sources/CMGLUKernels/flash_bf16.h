// BF16 weights and activations with AVX512_BF16: one instruction multiplies 32 pairs into 16 sums;
// a mask zeroes the weights that it leaves out.
INLINE void bf16_group(int count, const __m512i w, const char *x, const uint32_t *words, vf *s) {
  const __m512bh right = (__m512bh)_mm512_load_si512(x);
  s[count] = (vf)_mm512_dpbf16_ps((__m512)s[count], (__m512bh)w, right);
#pragma clang loop unroll(full)
  for (int i = 0; i < count; i++) {
    const __mmask32 bits = _load_mask32((__mmask32 *)(words + i));
    s[i] = (vf)_mm512_dpbf16_ps((__m512)s[i], (__m512bh)_mm512_maskz_mov_epi16(bits, w), right);
  }
}

INLINE void bf16_row(int count, const row_view *r, vf *out) {
  enum { SIZE = 2 * CMGLU_GROUP };
  const int64_t groups = r->columns / CMGLU_GROUP, step = r->masks;
  const char *w = r->w, *x = r->x;
  const uint32_t *words = r->words;
  vf sums[2][MOST_STREAMS] = {};
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2, w += 2 * SIZE, x += 2 * SIZE, words += 2 * step) {
    __builtin_prefetch(w + AHEAD, 0, 2);
    __builtin_prefetch(w + AHEAD + SIZE, 0, 2);
    if (count) __builtin_prefetch(words + AHEAD / SIZE * step, 0, 2);
    bf16_group(count, _mm512_loadu_si512(w), x, words, sums[0]);
    bf16_group(count, _mm512_loadu_si512(w + SIZE), x + SIZE, words + step, sums[1]);
  }
  for (int64_t left = r->columns - g * CMGLU_GROUP; left > 0;
       left -= CMGLU_GROUP, w += SIZE, x += SIZE, words += step) {
    const __mmask32 live = left >= CMGLU_GROUP ? ~0u : (1u << left) - 1;
    bf16_group(count, _mm512_maskz_loadu_epi16(live, w), x, words, sums[0]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i <= count; i++) out[i * LANES] = sums[0][i] + sums[1][i];
}
