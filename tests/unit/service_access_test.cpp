#include "net/accept/service_access.hpp"

#include <gtest/gtest.h>

#include "tests/unit/accept_support.hpp"

namespace backedpipe::test {
namespace {

const std::vector<ServiceSettings> kServices{{"ssh", {}}, {"db", {}}};

AcceptSettings with_keys() {
  AcceptSettings accept;
  accept.allow["laptop"] = {"ssh"};
  accept.allow["desk"] = {"*"};
  return accept;
}

TEST(ServiceAccess, WhoMayUseAServiceFindsIt) {
  const ServiceAccess access = access_to(kServices, with_keys(), "laptop", "ssh");
  EXPECT_EQ(access.verdict, Reason::none);
  EXPECT_EQ(access.service, kServices.data());
}

TEST(ServiceAccess, TheMissingAndTheForbiddenLookTheSameToWhoMayNotUseAll) {
  const AcceptSettings accept = with_keys();
  const ServiceAccess forbidden = access_to(kServices, accept, "laptop", "db");
  const ServiceAccess missing = access_to(kServices, accept, "laptop", "web");
  EXPECT_EQ(forbidden.verdict, Reason::not_authorised);
  EXPECT_EQ(missing.verdict, Reason::not_authorised);
  const Refusals::Wording of_forbidden =
      wording_for(forbidden.verdict, forbidden, opening(1), "laptop");
  const Refusals::Wording of_missing = wording_for(missing.verdict, missing, opening(1), "laptop");
  EXPECT_EQ(of_forbidden.text, of_missing.text);
  EXPECT_EQ(of_forbidden.log_only, "");
  EXPECT_NE(of_missing.log_only, "") << "the log tells them apart";
}

TEST(ServiceAccess, WhoMayUseAllIsToldThatAServiceIsMissing) {
  EXPECT_EQ(access_to(kServices, with_keys(), "desk", "db").verdict, Reason::none);
  EXPECT_EQ(access_to(kServices, with_keys(), "desk", "web").verdict, Reason::unknown_service);
}

TEST(ServiceAccess, WithoutSecurityEverybodyIsToldThatAServiceIsMissing) {
  AcceptSettings accept;
  accept.security = Security::none;
  EXPECT_EQ(access_to(kServices, accept, "", "ssh").verdict, Reason::none);
  EXPECT_EQ(access_to(kServices, accept, "", "web").verdict, Reason::unknown_service);
}

TEST(ServiceAccess, WhoResumesASessionOfAnotherIsNotToldOfServices) {
  const auto wording = wording_for(Reason::not_authorised, {}, resuming(1), "laptop");
  EXPECT_EQ(wording.text, "the session belongs to another identity");
}

}  // namespace
}  // namespace backedpipe::test
