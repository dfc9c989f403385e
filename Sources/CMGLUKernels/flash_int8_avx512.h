// 8-bit weights and activations with AVX-512: |w| times x with the sign of w, two groups of 32 at
// a time, the scales of sixteen groups converted together.

INLINE __m512i sums_of_four(__m512i magnitudes, __m512i x) {
#if defined(CMGLU_VNNI)
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), magnitudes, x);
#else
  // Two products sum to at most 2 * 128 * 127: 16 bits hold them.
  return _mm512_madd_epi16(_mm512_maddubs_epi16(magnitudes, x), _mm512_set1_epi16(1));
#endif
}

INLINE vf scaled_sums(vf sum, __m512i magnitudes, __m512i x, __m512 scale) {
  return (vf)_mm512_fmadd_ps(_mm512_cvtepi32_ps(sums_of_four(magnitudes, x)), scale, (__m512)sum);
}

// 64 weights against x, of whose mask words the second group's may be missing.
INLINE void int8_pair(int count, __m512i weights, const char *x, const uint32_t *words,
                      const uint32_t *next, __m512 scale, vf *sums) {
  const __m512i magnitudes = _mm512_abs_epi8(weights), plain = _mm512_load_si512(x);
  const __m512i signed_x = _mm512_mask_sub_epi8(plain, _mm512_movepi8_mask(weights),
                                                _mm512_setzero_si512(), plain);
  sums[count] = scaled_sums(sums[count], magnitudes, signed_x, scale);
#pragma clang loop unroll(full)
  for (int i = 0; i < count; i++) {
    const __mmask64 high = next ? _load_mask32((__mmask32 *)(next + i)) : 0;
    const __mmask64 bits = _mm512_kunpackd(high, _load_mask32((__mmask32 *)(words + i)));
    sums[i] = scaled_sums(sums[i], _mm512_maskz_mov_epi8(bits, magnitudes), signed_x, scale);
  }
}

INLINE void int8_row(int count, const row_view *r, vf *out) {
  const char *x = r->x, *w = r->w;
  const float *scales = (const float *)(x + scale_offset(r->columns));
  const int64_t groups = group_count(r->columns), step = r->masks;
  const __m512i half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  vf sums[MOST_STREAMS] = {};
  for (int64_t g = 0; g < groups; g += 16, w += 512, x += 512) {
    const int64_t left = r->columns - g * CMGLU_GROUP;
    const int64_t some = groups - g < 16 ? groups - g : 16;
    const __m256i halves =
        _mm256_maskz_loadu_epi16((__mmask16)((1u << some) - 1), r->scales + 2 * g);
    const __m512 scale = _mm512_mul_ps(_mm512_cvtph_ps(halves), _mm512_load_ps(scales + g));
    const uint32_t *words = r->words + g * step;
    __builtin_prefetch(r->scales + 2 * g + AHEAD / CMGLU_GROUP * 2, 0, 2);
    if (left >= 512) {
#pragma clang loop unroll(full)
      for (int k = 0; k < 16; k += 2, words += 2 * step) {
        __builtin_prefetch(w + AHEAD + 32 * k, 0, 2);
        if (count) __builtin_prefetch(words + AHEAD / CMGLU_GROUP * step, 0, 2);
        int8_pair(count, _mm512_loadu_si512(w + 32 * k), x + 32 * k, words, words + step,
                  _mm512_permutexvar_ps(_mm512_add_epi32(half, _mm512_set1_epi32(k)), scale), sums);
      }
    } else {
      for (int64_t k = 0; k < some; k += 2, words += 2 * step) {
        const int64_t lanes = left - 32 * k;
        const __mmask64 live = lanes >= 64 ? ~0ull : (1ull << lanes) - 1;
        int8_pair(count, _mm512_maskz_loadu_epi8(live, w + 32 * k), x + 32 * k, words,
                  k + 1 < some ? words + step : 0,
                  _mm512_permutexvar_ps(_mm512_add_epi32(half, _mm512_set1_epi32((int)k)), scale),
                  sums);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i <= count; i++) out[i * LANES] = sums[i];
}
