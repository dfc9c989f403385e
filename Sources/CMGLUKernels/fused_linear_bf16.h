// BF16 weights and activations with AVX512_BF16: one instruction multiplies 32 pairs into 16 sums;
// a mask zeroes the weights that it leaves out.
INLINE void bf16_group(int count, int planes, int inputs, const __m512i *w, const char *x,
                       const row_view *r, const uint32_t *bits, stream_sums sums) {
  EACH(plane, planes) EACH(n, inputs) {
    vf *s = &sums[n][count + plane];
    *s = (vf)_mm512_dpbf16_ps((__m512)*s, (__m512bh)w[plane],
                              (__m512bh)_mm512_load_si512(x + n * r->size));
  }
  EACH(i, count) {
    const __mmask32 mask = _load_mask32((__mmask32 *)(bits + 2 * i));
    const __m512bh masked = (__m512bh)_mm512_maskz_mov_epi16(mask, w[0]);
    EACH(n, inputs) {
      vf *s = &sums[n][i];
      *s = (vf)_mm512_dpbf16_ps((__m512)*s, masked,
                                (__m512bh)_mm512_load_si512(x + n * r->size));
    }
  }
}

INLINE void bf16_row(int count, int planes, int inputs, const row_view *r, vf *out) {
  enum { SIZE = 2 * CMGLU_GROUP };
  const int64_t groups = r->columns / CMGLU_GROUP;
  stream_sums sums[2] = {};
  __m512i w[2];
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2) {
    const uint32_t *bits = group_bits(r, g);
    if (count) __builtin_prefetch(group_bits(r, g + AHEAD / SIZE), 0, 3);
    EACH(half, 2) {
      const int64_t offset = (g + half) * SIZE;
      EACH(plane, planes) {
        __builtin_prefetch(r->w[plane] + offset + AHEAD, 0, 3);
        w[plane] = _mm512_loadu_si512(r->w[plane] + offset);
      }
      bf16_group(count, planes, inputs, w, r->x + offset, r, bits + half, sums[half]);
    }
  }
  for (; g * CMGLU_GROUP < r->columns; g++) {
    const int64_t left = r->columns - g * CMGLU_GROUP;
    const __mmask32 live = left >= CMGLU_GROUP ? ~0u : (1u << left) - 1;
    EACH(plane, planes) w[plane] = _mm512_maskz_loadu_epi16(live, r->w[plane] + g * SIZE);
    bf16_group(count, planes, inputs, w, r->x + g * SIZE, r, group_bits(r, g), sums[0]);
  }
  store_sums(count + planes, inputs, sums[0], sums[1], out);
}
