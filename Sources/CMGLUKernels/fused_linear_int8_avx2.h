// 8-bit weights and activations with AVX2: |w| times x with the sign of w, which maddubs takes.
// Two products sum to at most 2 * 128 * 127, so its 16-bit sums never saturate.

// Byte k is all ones where bit k is set.
INLINE __m256i bytes_of_bits(uint32_t bits) {
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                          0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte);
  return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
}

INLINE vf scaled_sums(__m256i magnitudes, __m256i x, vf scale) {
  const __m256i pairs = _mm256_maddubs_epi16(magnitudes, x);
  const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  return (vf)_mm256_cvtepi32_ps(fours) * scale;
}

INLINE void int8_row(int count, int planes, int inputs, const row_view *r, vf *out) {
  const int64_t groups = group_count(r->columns), rest = r->columns % CMGLU_GROUP;
  stream_sums sums = {}, none = {};
  for (int64_t g = 0; g < groups; g++) {
    const uint32_t *bits = group_bits(r, g);
    if (count) __builtin_prefetch(group_bits(r, g + AHEAD / CMGLU_GROUP), 0, 3);
    EACH(plane, planes) {
      const char *w = r->w[plane] + g * CMGLU_GROUP;
      char tail[CMGLU_GROUP] = {};
      if (rest && g == groups - 1) w = memcpy(tail, w, (size_t)rest);
      if (g % 2 == 0) __builtin_prefetch(w + AHEAD, 0, 3);
      const __m256i weights = _mm256_loadu_si256((const __m256i *)w);
      const __m256i magnitudes = _mm256_abs_epi8(weights);
      const float own = load_half(r->scales[plane], g);
      EACH(n, inputs) {
        const char *row = r->x + n * r->size;
        const __m256i x = _mm256_sign_epi8(
            _mm256_load_si256((const __m256i *)(row + g * CMGLU_GROUP)), weights);
        const vf scale = splat(own * ((const float *)(row + scale_offset(r->columns)))[g]);
        vf *s = sums[n];
        s[count + plane] += scaled_sums(magnitudes, x, scale);
        EACH(i, count) s[i] += scaled_sums(
            _mm256_and_si256(magnitudes, bytes_of_bits(bits[2 * i])), x, scale);
      }
    }
  }
  store_sums(count + planes, inputs, sums, none, out);
}
