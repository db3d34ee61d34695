// Kernels of the block formats, inlined into the calling Swift loops: searches over eight sub-blocks at a time, levels
// and codes of IQ4, MXFP4 and the ternary types, and the codebook search.
#ifndef CBLOCKS_H
#define CBLOCKS_H

#include "CAffine.h"
#include "CVectors.h"
#include "CodewordScan.h"

#define CV static inline __attribute__((always_inline))

// Block search: the eight lanes hold eight sub-blocks, element after element.

// Transposes eight rows of eight values, `stride` apart: vector i of `out` holds element i of every row.
CV void cv_load_columns(const float *rows, long stride, void *out) {
  cv_f32x8 r[8];
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++) r[j] = cv_load(rows + j * stride);
  cv_transpose8(r);
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++) cv_store((char *)out + 32 * j, r[j]);
}
// Lane by lane: a < b ? yes : no. With a NaN, the result is `no`.
CV cv_f32x8 cv_where_less(cv_f32x8 a, cv_f32x8 b, cv_f32x8 yes, cv_f32x8 no) { return a < b ? yes : no; }
// Whole numbers from -128 to 255 as bytes.
CV void cv_store_bytes(void *p, cv_f32x8 v) {
  cv_u8x8 b = __builtin_convertvector(cv_to_i32(v), cv_u8x8);
  memcpy(p, &b, sizeof b);
}

// cv_lookup4: table[index & 3] of a table with equal halves. cv_lookup8: table[index & 7].
#if defined(__AVX2__)
typedef float cv_floats __attribute__((vector_size(32)));
typedef int cv_ints __attribute__((vector_size(32)));
CV cv_f32x8 cv_lookup4(cv_f32x8 table, cv_i32x8 index) {
  return (cv_f32x8)__builtin_ia32_vpermilvarps256((cv_floats)table, (cv_ints)index);
}
CV cv_f32x8 cv_lookup8(cv_f32x8 table, cv_i32x8 index) {
  return (cv_f32x8)__builtin_ia32_permvarsf256((cv_floats)table, (cv_ints)index);
}
#else
CV cv_f32x8 cv_lookup8(cv_f32x8 table, cv_i32x8 index) {
  float t[8];
  memcpy(t, &table, sizeof t);
  cv_i32x8 i = index & 7;
  return (cv_f32x8){t[i[0]], t[i[1]], t[i[2]], t[i[3]], t[i[4]], t[i[5]], t[i[6]], t[i[7]]};
}
CV cv_f32x8 cv_lookup4(cv_f32x8 table, cv_i32x8 index) { return cv_lookup8(table, index & 3); }
#endif

// The nearest level of IQ4 (the lower of two), and its index.
#define CV_IQ4_STEPS(STEP)                                                                                           \
  STEP(-115.5f, -104) STEP(-93.5f, -83) STEP(-74.0f, -65) STEP(-57.0f, -49) STEP(-42.0f, -35) STEP(-28.5f, -22)     \
  STEP(-16.0f, -10) STEP(-4.5f, 1) STEP(7.0f, 13) STEP(19.0f, 25) STEP(31.5f, 38) STEP(45.5f, 53) STEP(61.0f, 69)   \
  STEP(79.0f, 89) STEP(101.0f, 113)
#if defined(__AVX2__)
// Bisection: a third of the time of fifteen comparisons.
CV cv_f32x8 cv_iq4_level(cv_f32x8 v) {
  const cv_f32x8 quarters = {-93.5f, -28.5f, 19.0f, 79.0f, -93.5f, -28.5f, 19.0f, 79.0f};
  const cv_f32x8 eighths = {-115.5f, -74.0f, -42.0f, -16.0f, 7.0f, 31.5f, 61.0f, 101.0f};
  const cv_f32x8 lower = {-127, -83, -49, -22, 1, 25, 53, 89}, upper = {-104, -65, -35, -10, 13, 38, 69, 113};
  cv_i32x8 above = v > cv_splat(-4.5f);
  cv_f32x8 half = above ? cv_splat(45.5f) : cv_splat(-57.0f);
  cv_i32x8 i = -2 * above - (v > half);
  i = 2 * i - (v > cv_lookup4(quarters, i));
  return v > cv_lookup8(eighths, i) ? cv_lookup8(upper, i) : cv_lookup8(lower, i);
}
#else
CV cv_f32x8 cv_iq4_level(cv_f32x8 v) {
  cv_f32x8 y = cv_splat(-127);
#define CV_STEP(middle, level) y = v > cv_splat(middle) ? cv_splat(level) : y;
  CV_IQ4_STEPS(CV_STEP)
#undef CV_STEP
  return y;
}
#endif
CV cv_f32x8 cv_iq4_index(cv_f32x8 v) {
  cv_i32x8 n = (cv_i32x8)0;
#define CV_STEP(middle, level) n -= v > cv_splat(middle);
  CV_IQ4_STEPS(CV_STEP)
#undef CV_STEP
  return cv_from_i32(n);
}
#undef CV_IQ4_STEPS

// The nearest level of MXFP4, in twice E2M1's values (0, 1, 2, 3, 4, 6, 8, 12 and their negatives), and its code.
CV cv_f32x8 cv_mxfp4_level(cv_f32x8 v) {
  cv_f32x8 a = cv_abs(v), one = cv_splat(1), two = cv_splat(2), four = cv_splat(4);
  cv_f32x8 gap = a < four ? one : a < cv_splat(8) ? two : four;
  cv_f32x8 inverse = a < four ? one : a < cv_splat(8) ? cv_splat(0.5f) : cv_splat(0.25f);
  cv_f32x8 level = cv_min(cv_round(a * inverse) * gap, cv_splat(12));
  return v < cv_splat(0) ? -level : level;
}
CV cv_f32x8 cv_mxfp4_code(cv_f32x8 v) {
  cv_f32x8 level = cv_mxfp4_level(v), a = cv_abs(level);
  cv_f32x8 code = a <= cv_splat(4) ? a : a <= cv_splat(8) ? a * 0.5f + 2.0f : cv_splat(7);
  return level < cv_splat(0) ? code + 8.0f : code;
}
// 2^floor(log2(a)) of positive normal numbers; 0 of zero and subnormals.
CV cv_f32x8 cv_power_below(cv_f32x8 a) {
  cv_i32x8 bits;
  memcpy(&bits, &a, sizeof bits);
  bits &= 0x7F800000;
  memcpy(&a, &bits, sizeof a);
  return a;
}

// Ternary search over `count` vectors of magnitudes a, weights w and products w a: for each of four thresholds, Σw and
// Σwa of the elements above it.
CV void cv_above4(const float *a, const float *w, const float *wa, long count, const float *threshold, float *weight,
                  float *sum) {
  cv_f32x8 n[4], s[4], zero = cv_splat(0);
  for (int k = 0; k < 4; k++) n[k] = s[k] = zero;
  for (long i = 0; i < count; i++) {
    cv_f32x8 va = cv_load(a + 8 * i), vw = cv_load(w + 8 * i), vs = cv_load(wa + 8 * i);
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; k++) {
      cv_i32x8 taken = va > cv_splat(threshold[k]);
      n[k] += taken ? vw : zero;
      s[k] += taken ? vs : zero;
    }
  }
  for (int k = 0; k < 4; k++) {
    weight[k] = cv_sum(n[k]);
    sum[k] = cv_sum(s[k]);
  }
}
// Bytes: 0 for a value below -t, 2 above t, 1 between.
CV void cv_store_ternary(void *p, cv_f32x8 v, float t) {
  cv_i32x8 q = 1 - (v > cv_splat(t)) + (v < cv_splat(-t));
  cv_u8x8 b = __builtin_convertvector(q, cv_u8x8);
  memcpy(p, &b, sizeof b);
}

// Codebook search.

// Two codewords of four bytes each.
CV cv_i8x8 cv_pair_i8(const void *p, const void *q) {
  cv_i8x8 v;
  memcpy(&v, p, 4);
  memcpy((char *)&v + 4, q, 4);
  return v;
}
// Negates the lanes whose bit is set.
CV cv_f32x8 cv_flip(cv_f32x8 v, uint8_t signs) {
  cv_i32x8 bits = {1, 2, 4, 8, 16, 32, 64, 128};
  cv_i32x8 set = ((cv_i32x8)(int32_t)signs & bits) == bits;
  return set ? -v : v;
}
// The minimum of values without NaN: one instruction, where cv_min needs three.
CV cv_f32x8 cv_lesser(cv_f32x8 a, cv_f32x8 b) { return a < b ? a : b; }
// Bit i is set if value i is above (below) t.
typedef _Bool cv_b8 __attribute__((ext_vector_type(8)));
CV uint8_t cv_bits(cv_i32x8 set) {
  cv_b8 b = __builtin_convertvector(set, cv_b8);
  uint8_t bits;
  memcpy(&bits, &b, 1);
  return bits;
}
CV uint8_t cv_bits_above(cv_f32x8 v, float t) { return cv_bits(v > cv_splat(t)); }
CV uint8_t cv_bits_below(cv_f32x8 v, float t) { return cv_bits(v < cv_splat(t)); }
// Lane by lane: a < b ? yes : no.
CV cv_i32x8 cv_where_less_i32(cv_f32x8 a, cv_f32x8 b, cv_i32x8 yes, cv_i32x8 no) { return a < b ? yes : no; }

CV cv_i32x8 cv_load_levels(const uint16_t *words) {
  cv_u16x8 v;
  memcpy(&v, words, sizeof v);
  return __builtin_convertvector(v, cv_i32x8);
}

// Codewords are packed levels: eight of two bits or four of three bits. The terms of each level and coordinate are
// looked up for eight codewords at a time.

// For every codeword g of eight values: a = Σ wx g and b = Σ w g^2. If `odd` is set, the coordinate with the smallest
// term is negated in a. `count` is 16 or a multiple of 32; `levels` has the four levels twice.
CV void cv_level_block8(const uint16_t *words, const float *wx, const float *w, cv_f32x8 levels, int vectors, int odd,
                        float *a, float *b) {
  cv_i32x8 l[4];
  cv_f32x8 sa[4], sb[4], smallest[4], squares = levels * levels;
  for (int v = 0; v < vectors; v++) {
    l[v] = cv_load_levels(words + 8 * v);
    sa[v] = sb[v] = cv_splat(0);
    smallest[v] = cv_splat(__builtin_inff());
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) {
    cv_f32x8 p = levels * cv_splat(wx[i]), q = squares * cv_splat(w[i]);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      cv_f32x8 x = cv_lookup4(p, l[v]);
      sa[v] += x;
      sb[v] += cv_lookup4(q, l[v]);
      if (odd) smallest[v] = cv_lesser(x, smallest[v]);
      l[v] >>= 2;
    }
  }
  for (int v = 0; v < vectors; v++) {
    cv_store(a + 8 * v, odd ? sa[v] - (smallest[v] + smallest[v]) : sa[v]);
    cv_store(b + 8 * v, sb[v]);
  }
}
CV void cv_level_sums8(const uint16_t *words, long count, const float *wx, const float *w, cv_f32x8 levels, int odd,
                       float *a, float *b) {
  if (odd) {
    for (long c = 0; c < count; c += 16) cv_level_block8(words + c, wx, w, levels, 2, 1, a + c, b + c);
  } else if (count == 16) {
    cv_level_block8(words, wx, w, levels, 2, 0, a, b);
  } else {
    for (long c = 0; c < count; c += 32) cv_level_block8(words + c, wx, w, levels, 4, 0, a + c, b + c);
  }
}
// a and b of codewords of four values with eight levels; `flipped` is a with the smallest term negated.
CV void cv_level_sums4(const uint16_t *words, long count, const float *wx, const float *w, cv_f32x8 levels, float *a,
                       float *b, float *flipped) {
  cv_f32x8 p[4], q[4];
  for (int i = 0; i < 4; i++) {
    p[i] = levels * cv_splat(wx[i]);
    q[i] = levels * levels * cv_splat(w[i]);
  }
  for (long c = 0; c < count; c += 8) {
    cv_i32x8 l = cv_load_levels(words + c);
    cv_f32x8 s = cv_splat(0), t = s, m = cv_splat(__builtin_inff());
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      cv_f32x8 v = cv_lookup8(p[i], l);
      s += v;
      m = cv_lesser(v, m);
      t += cv_lookup8(q[i], l);
      l >>= 3;
    }
    cv_store(a + c, s);
    cv_store(b + c, t);
    cv_store(flipped + c, s - (m + m));
  }
}
// For each of eight values of t: the index of a codeword with the minimum of b - 2 t a. The lowest bits of this score,
// `mask`, are replaced by the codeword's index, so that one minimum finds both. `count` is at most mask + 1.
CV cv_i32x8 cv_least_at(const float *a, const float *b, long count, cv_f32x8 t, int32_t mask) {
  cv_f32x8 best = cv_splat(__builtin_inff()), m = t * -2.0f;
  cv_i32x8 index = (cv_i32x8)0, high = (cv_i32x8)~mask, at;
#pragma clang loop unroll_count(4)
  for (long c = 0; c < count; c++) {
    cv_f32x8 score = cv_fma(cv_splat(a[c]), m, cv_splat(b[c]));
    cv_i32x8 bits;
    memcpy(&bits, &score, sizeof bits);
    bits = (bits & high) | index;
    memcpy(&score, &bits, sizeof bits);
    best = cv_lesser(score, best);
    index += 1;
  }
  memcpy(&at, &best, sizeof at);
  return at & ~high;
}
CV cv_f32x8 cv_pick(const float *from, cv_i32x8 index) {
  return (cv_f32x8){from[index[0]], from[index[1]], from[index[2]], from[index[3]],
                    from[index[4]], from[index[5]], from[index[6]], from[index[7]]};
}
// From a list in two parts: the first `count` numbers in `first`, the others in `second`.
CV cv_i32x8 cv_pick_u16(const uint16_t *first, const uint16_t *second, int32_t count, cv_i32x8 index) {
  cv_i32x8 r;
#pragma clang loop unroll(full)
  for (int k = 0; k < 8; k++) r[k] = (index[k] < count ? first : second - count)[index[k]];
  return r;
}
CV void cv_prefetch(const void *p) { __builtin_prefetch(p); }

// Rounds every value to the nearest level g, at eight scales 1 / t: a = Σ wx g and b = Σ w g^2. For three levels, and
// for eight levels first, first + step and so on.
CV void cv_rounded_sums3(const float *x, const float *wx, const float *w, long count, cv_f32x8 t, float level0,
                         float level1, float level2, float *a, float *b) {
  cv_f32x8 l0 = cv_splat(level0), l1 = cv_splat(level1), l2 = cv_splat(level2);
  cv_f32x8 low = (l0 + l1) * 0.5f, high = (l1 + l2) * 0.5f, sa = cv_splat(0), sb = cv_splat(0);
  for (long i = 0; i < count; i++) {
    cv_f32x8 v = cv_splat(x[i]) * t, g = v > high ? l2 : v > low ? l1 : l0;
    sa = cv_fma(g, cv_splat(wx[i]), sa);
    sb = cv_fma(g * g, cv_splat(w[i]), sb);
  }
  cv_store(a, sa);
  cv_store(b, sb);
}
CV void cv_rounded_sums8(const float *x, const float *wx, const float *w, long count, cv_f32x8 t, float first,
                         float step, float *a, float *b) {
  cv_f32x8 sa = cv_splat(0), sb = cv_splat(0), s = t * cv_splat(1 / step), zero = cv_splat(0), top = cv_splat(7);
  cv_f32x8 offset = cv_splat(-first / step);
  for (long i = 0; i < count; i++) {
    cv_f32x8 level = cv_clamp(cv_round(cv_fma(cv_splat(x[i]), s, offset)), zero, top);
    cv_f32x8 g = cv_fma(level, cv_splat(step), cv_splat(first));
    sa = cv_fma(g, cv_splat(wx[i]), sa);
    sb = cv_fma(g * g, cv_splat(w[i]), sb);
  }
  cv_store(a, sa);
  cv_store(b, sb);
}
// The indices of the nearest of eight levels for eight values: four indices of three bits from bit 0 on, and four from
// bit 16 on.
CV uint32_t cv_octal(cv_f32x8 v, float first, float step) {
  cv_f32x8 level = cv_clamp(cv_round((v - first) * cv_splat(1 / step)), cv_splat(0), cv_splat(7));
  cv_f32x8 powers = {1, 8, 64, 512, 1, 8, 64, 512}, p = level * powers;
  float low = (p[0] + p[1]) + (p[2] + p[3]), high = (p[4] + p[5]) + (p[6] + p[7]);
  return (uint32_t)low | (uint32_t)high << 16;
}

#include "CFeedback.h"

#undef CV
#endif
