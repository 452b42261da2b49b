// Philox against the known answers published with Random123 (kat_vectors, "philox4x32 10"); what is drawn from it.
#include <set>

#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

void check_known(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1, PhiloxBlock wanted) {
  const PhiloxBlock found = philox4x32_10(counter, key0, key1);
  for (int i = 0; i < 4; ++i) CHECK(found.word[i] == wanted.word[i]);
}

}  // namespace

TEST_CASE("philox4x32_10: known answers") {
  check_known({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check_known({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff,
              {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_known({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
              {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("the order of an epoch is a bijection, different from epoch to epoch and from key to key") {
  for (const std::uint32_t size : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 100u, 1023u, 4096u, 10007u, 55000u}) {
    CAPTURE(size);
    std::vector<bool> seen(size, false);
    const Permutation order(42, 3, size);
    bool inside = true, once = true;
    for (std::uint32_t i = 0; i < size; ++i) {
      const std::uint32_t value = order(i);
      inside = inside && value < size;
      if (value >= size) continue;
      once = once && !seen[value];
      seen[value] = true;
    }
    CHECK(inside);
    CHECK(once);
  }
  int same_epoch = 0, same_key = 0, fixed = 0;
  const Permutation order(42, 3, 10007), next(42, 4, 10007), other(43, 3, 10007);
  for (std::uint32_t i = 0; i < 10007; ++i) {
    same_epoch += order(i) == next(i) ? 1 : 0;
    same_key += order(i) == other(i) ? 1 : 0;
    fixed += order(i) == i ? 1 : 0;
  }
  // Each count is about Poisson with mean 1.
  CHECK(same_epoch <= 10);
  CHECK(same_key <= 10);
  CHECK(fixed <= 10);
}

TEST_CASE("the order of an epoch spreads evenly") {
  // First position over 4,000 keys in 10 boxes of 1,000 / 10: chi-square with 9 degrees of freedom.
  int box[10] = {};
  for (std::uint64_t key = 0; key < 4000; ++key) ++box[Permutation(key, 0, 1000)(0) / 100];
  double chi = 0;
  for (const int count : box) chi += (count - 400.0) * (count - 400.0) / 400.0;
  CHECK(chi < 33.7);  // p = 0.0001
}

TEST_CASE("dropout keeps as many as its rate says") {
  for (const float rate : {0.0F, 0.1F, 0.5F, 0.9F}) {
    const std::uint32_t threshold = dropout_threshold(rate);
    int kept = 0;
    for (std::uint64_t e = 0; e < 40000; ++e) kept += dropout_keeps(9, 2, 1, e, threshold) ? 1 : 0;
    const double wanted = 40000 * (1 - static_cast<double>(rate));
    CHECK(std::fabs(kept - wanted) <= 4 * std::sqrt(wanted * static_cast<double>(rate) + 0.01));
  }
}

TEST_CASE("augmentation draws every offset and both sides") {
  std::set<std::uint32_t> tops, lefts;
  int flips = 0;
  for (std::uint32_t p = 0; p < 2000; ++p) {
    const AugmentDraw draw = augment_draw(5, 1, p, 0.5F, 4);
    tops.insert(draw.top);
    lefts.insert(draw.left);
    flips += draw.flip ? 1 : 0;
    const AugmentDraw plain = augment_draw(5, 1, p, 0, 0);
    CHECK_FALSE(plain.flip);
    CHECK(plain.top + plain.left == 0);
  }
  CHECK(tops.size() == 9);
  CHECK(*tops.rbegin() == 8);
  CHECK(lefts.size() == 9);
  CHECK(std::abs(flips - 1000) < 100);
}
