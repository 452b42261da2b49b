// Operands of a product (product.h) that lie in memory.
//
// An operand has lines, which are A's rows or B's columns, and a depth. It offers
//   Line, line(lane, group, index)   what stays for all of the depth
//   Depth, depth(k)                  a place along the depth
//   Stride, stride(by), advance      walks on by that many places
//   value(line, depth)               a piece: `width` neighbours from there on, within the operand's extents
//   along_depth                      neighbours along the depth are neighbours in memory, so threads load that way,
//                                    and so a piece lies; otherwise neighbouring lines are
//   width, Piece                     1 and float, or 4 and float4: then the extent along which a piece lies, strides
//                                    along it and the memory's alignment are multiples of four
//   sparse                           it also tells, by sees(line, depth), whether a piece can be more than zeros.
//                                    Slices of zeros alone are left out: the other operand is taken for finite there
#pragma once

#include <cstdint>
#include <type_traits>

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

template <int width>
using PieceOf = std::conditional_t<width == 4, float4, float>;

template <int width>
__device__ inline PieceOf<width> piece_at(const float* from) {
  return *reinterpret_cast<const PieceOf<width>*>(from);
}

// Whether floats at multiples of four can be read and written in fours.
template <class T>
bool in_fours(const Lanes<T>& lanes) {
  return reinterpret_cast<std::uintptr_t>(lanes.base) % 16 == 0 && lanes.stride % 4 == 0;
}

// Element (line, k) lies at group * group_stride + line * line_stride + k * depth_stride.
template <bool along, int width_ = 1>
struct Strided {
  static constexpr bool along_depth = along;
  static constexpr int width = width_;
  static constexpr bool sparse = false;
  using Piece = PieceOf<width>;
  Lanes<const float> base;
  std::int64_t line_stride = 0, depth_stride = 0, group_stride = 0;

  using Line = const float*;
  using Depth = std::int64_t;
  using Stride = std::int64_t;
  __device__ Line line(int lane, int group, int index) const {
    return base[lane] + group * group_stride + index * line_stride;
  }
  __device__ Depth depth(int k) const { return k * depth_stride; }
  __device__ Stride stride(int by) const { return by * depth_stride; }
  __device__ void advance(Depth& at, const Stride& by) const { at += by; }
  __device__ Piece value(const Line& line, const Depth& at) const { return piece_at<width>(line + at); }
};

// An axis in blocks: index i lies at i / block * block_stride + i % block * stride.
struct BlockedAxis {
  int block = 1;
  std::int64_t block_stride = 0, stride = 1;

  struct Place {
    int within;
    std::int64_t offset;
  };
  __device__ Place at(int index) const {
    const int whole = index / block, within = index % block;
    return {within, whole * block_stride + within * stride};
  }
  // `by` is a place itself: how far to go.
  __device__ void advance(Place& place, const Place& by) const {
    place.within += by.within;
    place.offset += by.offset;
    if (place.within >= block) {
      place.within -= block;
      place.offset += block_stride - block * stride;
    }
  }
};

// Element (line, k) lies at group * group_stride + lines(line) + depths(k).
template <bool along>
struct Blocked {
  static constexpr bool along_depth = along;
  static constexpr int width = 1;
  static constexpr bool sparse = false;
  using Piece = float;
  Lanes<const float> base;
  BlockedAxis lines, depths;
  std::int64_t group_stride = 0;

  using Line = const float*;
  using Depth = BlockedAxis::Place;
  using Stride = BlockedAxis::Place;
  __device__ Line line(int lane, int group, int index) const {
    return base[lane] + group * group_stride + lines.at(index).offset;
  }
  __device__ Depth depth(int k) const { return depths.at(k); }
  __device__ Stride stride(int by) const { return depths.at(by); }
  __device__ void advance(Depth& at, const Stride& by) const { depths.advance(at, by); }
  __device__ float value(const Line& line, const Depth& at) const { return line[at.offset]; }
};

// An axis that is all stride.
inline BlockedAxis plain_axis(std::int64_t stride) { return {1, stride, 0}; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
