#include "session/descriptor_plan.hpp"

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

constexpr std::size_t kFixed = 20;

DescriptorDemand server(std::size_t limit) {
  return {.limit = limit,
          .fixed = kFixed,
          .dials = false,
          .accepts = true,
          .max_sessions = 10000,
          .max_handshakes = 256,
          .spare_links = 64};
}

DescriptorDemand client(std::size_t limit) {
  return {.limit = limit,
          .fixed = kFixed,
          .dials = true,
          .accepts = false,
          .max_sessions = 10000,
          .max_handshakes = 256,
          .spare_links = 32};
}

// All that may be open at one time.
std::size_t most_open(const DescriptorPlan& plan) {
  return kFixed + plan.control + plan.metrics + plan.closing + plan.handshakes + plan.spare_links +
         2 * plan.accepted_sessions + 3 * plan.dialled_sessions;
}

TEST(DescriptorPlan, LeavesEverythingAsDemandedIfThereIsEnough) {
  const auto plan = plan_descriptors(server(1 << 20));
  EXPECT_EQ(plan.accepted_sessions, 10000U);
  EXPECT_EQ(plan.dialled_sessions, 0U);
  EXPECT_EQ(plan.handshakes, 256U);
  EXPECT_EQ(plan.spare_links, 64U);
  EXPECT_EQ(plan.control, DescriptorPlan::kMostControl);
  EXPECT_EQ(plan.needed, most_open(plan));
}

TEST(DescriptorPlan, SaysHowMuchWouldBeEnough) {
  for (const auto& demand : {server(64), client(1024)}) {
    auto enough = demand;
    enough.limit = plan_descriptors(demand).needed;
    const auto plan = plan_descriptors(enough);
    EXPECT_EQ(std::max(plan.accepted_sessions, plan.dialled_sessions), demand.max_sessions);
    EXPECT_EQ(plan.spare_links, demand.spare_links);
  }
}

TEST(DescriptorPlan, SaysHowMuchWouldBeEnoughForHandshakesAndSpareLinksToo) {
  auto demand = server(64);
  demand.max_sessions = 10;
  demand.max_handshakes = 5000;
  const auto with_handshakes = plan_descriptors(demand).needed;
  EXPECT_EQ(with_handshakes, kFixed + 8 * 5000);
  demand.limit = with_handshakes;
  EXPECT_EQ(plan_descriptors(demand).handshakes, 5000U);
  demand.spare_links = 5000;
  demand.limit = plan_descriptors(demand).needed;
  EXPECT_EQ(plan_descriptors(demand).spare_links, 5000U);
  EXPECT_EQ(plan_descriptors(demand).handshakes, 5000U);
}

TEST(DescriptorPlan, SaysHowMuchWouldBeEnoughForBothRoles) {
  auto demand = server(1024);
  demand.dials = true;
  demand.limit = plan_descriptors(demand).needed;
  const auto plan = plan_descriptors(demand);
  EXPECT_EQ(plan.dialled_sessions, demand.max_sessions);
  EXPECT_EQ(plan.accepted_sessions, demand.max_sessions);
}

TEST(DescriptorPlan, FullOfSessionsItStillHasSomeForEverythingElse) {
  for (std::size_t limit = 64; limit < 30000; limit += 61) {
    for (const auto& demand : {server(limit), client(limit)}) {
      const auto plan = plan_descriptors(demand);
      EXPECT_LE(most_open(plan), limit);
      EXPECT_GE(plan.control, 8U);
      EXPECT_GE(plan.metrics, 4U);
      EXPECT_GE(plan.closing, 2U);
      EXPECT_GE(plan.handshakes, demand.accepts ? 4U : 0U);
      EXPECT_GE(plan.accepted_sessions + plan.dialled_sessions, 5U);
    }
  }
}

TEST(DescriptorPlan, BothRolesShareWhatThereIs) {
  auto demand = server(1024);
  demand.dials = true;
  const auto plan = plan_descriptors(demand);
  EXPECT_LE(most_open(plan), 1024U);
  EXPECT_GT(plan.dialled_sessions, 100U);
  EXPECT_GT(plan.accepted_sessions, 100U);
}

TEST(DescriptorPlan, WithNextToNothingThereIsOneSession) {
  const auto plan = plan_descriptors(server(kFixed - 1));
  EXPECT_EQ(plan.accepted_sessions, 1U);
  EXPECT_GE(plan.control, 1U);
}

TEST(DescriptorPlan, OneOfSeveralIdentitiesGetsHalfAndAnOnlyOneAll) {
  EXPECT_EQ(default_sessions_per_identity(10000, false), 5000U);
  EXPECT_EQ(default_sessions_per_identity(10000, true), 10000U);
  EXPECT_EQ(default_sessions_per_identity(1, false), 1U);
}

}  // namespace
}  // namespace backedpipe::test
