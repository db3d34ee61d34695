// Groups of MLX: a scale and a bias of 16 bits, and codes of `bits` bits, the first in the lowest bits.
#ifndef CAFFINE_H
#define CAFFINE_H

#include <stdint.h>
#include <string.h>

#include "CVectors.h"

typedef uint32_t ca_u32x8 __attribute__((ext_vector_type(8)));
typedef int32_t ca_i32x8 __attribute__((ext_vector_type(8)));

static inline __attribute__((always_inline)) float ca_scale(const uint8_t *p, int is_bf16) {
  uint16_t half;
  memcpy(&half, p, 2);
  if (is_bf16) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
  }
  _Float16 value;
  memcpy(&value, &half, 2);
  return (float)value;
}

// Eight codes from `bits` bytes, four of them in each half.
static inline __attribute__((always_inline)) ca_u32x8 ca_codes(const uint8_t *p, int bits) {
  uint64_t word = 0;
  memcpy(&word, p, (size_t)bits);
  uint32_t low = (uint32_t)(bits == 8 ? word & 0xFFFFFFFFu : word & ((1ull << (4 * bits)) - 1));
  uint32_t high = (uint32_t)(word >> (4 * bits));
  uint32_t b = (uint32_t)bits;
  ca_u32x8 v = {low, low, low, low, high, high, high, high};
  ca_u32x8 shift = {0, b, 2 * b, 3 * b, 0, b, 2 * b, 3 * b};
  return (v >> shift) & ((1u << b) - 1);
}

static inline __attribute__((always_inline)) void ca_decode_bits(const uint8_t *block, long count, int bits, long group,
                                                                 int is_bf16, float *out) {
#pragma clang fp contract(off)
  for (long g = 0; g < count; g++) {
    cv_f32x8 scale = cv_splat(ca_scale(block, is_bf16)), bias = cv_splat(ca_scale(block + 2, is_bf16));
    const uint8_t *codes = block + 4;
    for (long i = 0; i < group; i += 8, codes += bits, out += 8) {
      ca_i32x8 q = __builtin_convertvector(ca_codes(codes, bits), ca_i32x8);
      cv_store(out, scale * __builtin_convertvector(q, cv_f32x8) + bias);
    }
    block += 4 + group * bits / 8;
  }
}

static inline void ca_decode(const uint8_t *block, long count, int bits, long group, int is_bf16, float *out) {
  switch (bits) {
    case 2: ca_decode_bits(block, count, 2, group, is_bf16, out); break;
    case 3: ca_decode_bits(block, count, 3, group, is_bf16, out); break;
    case 4: ca_decode_bits(block, count, 4, group, is_bf16, out); break;
    case 5: ca_decode_bits(block, count, 5, group, is_bf16, out); break;
    case 6: ca_decode_bits(block, count, 6, group, is_bf16, out); break;
    default: ca_decode_bits(block, count, 8, group, is_bf16, out); break;
  }
}

// `count` codes, a multiple of eight.
static inline void ca_pack(const uint8_t *codes, long count, int bits, uint8_t *out) {
  for (long i = 0; i < count; i += 8, out += bits) {
    uint64_t word = 0;
    for (int k = 7; k >= 0; k--) word = word << bits | codes[i + k];
    memcpy(out, &word, (size_t)bits);
  }
}

#endif
