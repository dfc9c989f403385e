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

// 64 weights of each plane against every input; scales[plane][n] are those of 16 groups, of which
// `lanes` picks two.
INLINE void int8_pair(int count, int planes, int inputs, const __m512i *w, const char *x,
                      const row_view *r, const uint64_t *words, __m512 scales[2][MOST_INPUTS],
                      __m512i lanes, stream_sums sums) {
  EACH(plane, planes) {
    const __m512i magnitudes = _mm512_abs_epi8(w[plane]);
    const __mmask64 negative = _mm512_movepi8_mask(w[plane]);
    __m512i signed_x[MOST_INPUTS];
    __m512 scale[MOST_INPUTS];
    EACH(n, inputs) {
      const __m512i plain = _mm512_load_si512(x + n * r->size);
      signed_x[n] = _mm512_mask_sub_epi8(plain, negative, _mm512_setzero_si512(), plain);
      scale[n] = _mm512_permutexvar_ps(lanes, scales[plane][n]);
      vf *s = &sums[n][count + plane];
      *s = scaled_sums(*s, magnitudes, signed_x[n], scale[n]);
    }
    EACH(i, count) {
      const __m512i masked =
          _mm512_maskz_mov_epi8(_load_mask64((__mmask64 *)(words + i)), magnitudes);
      EACH(n, inputs) sums[n][i] = scaled_sums(sums[n][i], masked, signed_x[n], scale[n]);
    }
  }
}

INLINE void int8_row(int count, int planes, int inputs, const row_view *r, vf *out) {
  enum { MOST = 512 };  // elements whose scales fill a vector
  const int64_t columns = r->columns, step = r->masks;
  const __m512i half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const uint64_t *words = r->words;
  stream_sums sums = {}, none = {};
  __m512 scales[2][MOST_INPUTS];
  __m512i w[2];
  for (int64_t k = 0; k < columns; k += MOST) {
    const int64_t g = k / CMGLU_GROUP, left = columns - k;
    const int64_t some = group_count(columns) - g;
    EACH(plane, planes) {
      const char *at = r->scales[plane] + 2 * g;
      const __mmask16 live = some >= 16 ? 0xffff : (__mmask16)((1u << some) - 1);
      const __m512 own = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(live, at));
      __builtin_prefetch(at + AHEAD / CMGLU_GROUP * 2, 0, 3);
      EACH(n, inputs) {
        const float *xs = (const float *)(r->x + n * r->size + scale_offset(columns)) + g;
        scales[plane][n] = _mm512_mul_ps(own, _mm512_load_ps(xs));
      }
    }
    if (left >= MOST) {
      UNROLL for (int j = 0; j < MOST; j += 64, words += step) {
        EACH(plane, planes) {
          __builtin_prefetch(r->w[plane] + k + j + AHEAD, 0, 3);
          w[plane] = _mm512_loadu_si512(r->w[plane] + k + j);
        }
        if (count) __builtin_prefetch(words + AHEAD / 64 * step, 0, 3);
        int8_pair(count, planes, inputs, w, r->x + k + j, r, words, scales,
                  _mm512_add_epi32(half, _mm512_set1_epi32(j / CMGLU_GROUP)), sums);
      }
    } else {
      for (int64_t j = 0; j < left; j += 64, words += step) {
        const __mmask64 live = left - j >= 64 ? ~0ull : (1ull << (left - j)) - 1;
        EACH(plane, planes) w[plane] = _mm512_maskz_loadu_epi8(live, r->w[plane] + k + j);
        int8_pair(count, planes, inputs, w, r->x + k + j, r, words, scales,
                  _mm512_add_epi32(half, _mm512_set1_epi32((int)(j / CMGLU_GROUP))), sums);
      }
    }
  }
  store_sums(count + planes, inputs, sums, none, out);
}
