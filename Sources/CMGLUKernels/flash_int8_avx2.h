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

INLINE void int8_row(int count, const row_view *r, vf *out) {
  const float *scales = (const float *)(r->x + scale_offset(r->columns));
  const int64_t groups = group_count(r->columns), rest = r->columns % CMGLU_GROUP;
  vf sums[MOST_STREAMS] = {};
  for (int64_t g = 0; g < groups; g++) {
    const char *w = r->w + g * CMGLU_GROUP;
    char tail[CMGLU_GROUP] = {};
    if (rest && g == groups - 1) w = memcpy(tail, w, (size_t)rest);
    if (g % 2 == 0) __builtin_prefetch(w + AHEAD, 0, 2);
    if (count) __builtin_prefetch(r->words + (g + AHEAD / CMGLU_GROUP) * r->masks, 0, 2);
    const __m256i weights = _mm256_loadu_si256((const __m256i *)w);
    const __m256i magnitudes = _mm256_abs_epi8(weights);
    const __m256i x = _mm256_sign_epi8(
        _mm256_load_si256((const __m256i *)(r->x + g * CMGLU_GROUP)), weights);
    const vf scale = splat(load_half(r->scales, g) * scales[g]);
    const uint32_t *words = r->words + g * r->masks;
    sums[count] += scaled_sums(magnitudes, x, scale);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++)
      sums[i] += scaled_sums(_mm256_and_si256(magnitudes, bytes_of_bits(words[i])), x, scale);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i <= count; i++) out[i * LANES] = sums[i];
}
