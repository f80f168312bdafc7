#include "lambda/thawed_clock.h"

#include <gtest/gtest.h>

#include "support/manual_clock.h"

namespace miharu::lambda {
namespace {

using base::seconds;

TEST(ThawedClock, TimeInWhichTheMachineWasFrozenHasPassed) {
  test::ManualClock machine(base::from_unix_ms(1'795'230'000'000));
  const ThawedClock clock(machine);
  const auto start = clock.steady();
  machine.advance(seconds(5));
  EXPECT_EQ(clock.steady() - start, seconds(5));
  machine.step(seconds(100));  // UTC went on, the steady clock did not
  EXPECT_EQ(clock.steady() - start, seconds(105));
  machine.advance(seconds(1));
  EXPECT_EQ(clock.steady() - start, seconds(106));
}

TEST(ThawedClock, NeverGoesBack) {
  test::ManualClock machine(base::from_unix_ms(1'795'230'000'000));
  const ThawedClock clock(machine);
  const auto start = clock.steady();
  machine.step(seconds(60));
  EXPECT_EQ(clock.steady() - start, seconds(60));
  machine.step(-seconds(50));
  EXPECT_EQ(clock.steady() - start, seconds(60));
  machine.advance(seconds(2));
  EXPECT_EQ(clock.steady() - start, seconds(62));
}

}  // namespace
}  // namespace miharu::lambda
