// Runs simulated worlds, one per seed, on all cores; see world.hpp. Every 20th seed makes a fleet
// as well; see fleet.hpp. Workers are processes, so that a broken invariant, which ends the
// process, is reported with its seed as well.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "fleet.hpp"
#include "known_seeds.hpp"
#include "world.hpp"

namespace {

using namespace backedpipe;

struct Options {
  std::uint64_t seeds = 20'000;
  std::uint64_t first = 1;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> fleet;
  bool trace = false;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

// What each worker process shows the others; in shared memory, written only by that worker.
struct Progress {
  volatile std::uint64_t current;
  volatile std::uint64_t done;
  volatile std::uint64_t failed;
  volatile std::uint64_t steps;
  volatile std::uint64_t links;
  volatile std::uint64_t takeovers;
  volatile std::uint64_t candidates_dropped;
  volatile std::uint64_t kills;
  volatile std::uint64_t parkings;
  volatile std::uint64_t bytes;
  volatile std::uint64_t clean;
  volatile std::uint64_t reusable;
  volatile std::uint64_t fleets;
};

constexpr std::uint64_t kMostFailures = 5;
constexpr std::uint64_t kFleetEvery = 20;

[[noreturn]] void usage() {
  std::fputs(
      "sim [--seeds N] [--first S] [--jobs J]    run N worlds\n"
      "sim --seed S [--trace]                    run one\n"
      "sim --fleet S [--trace]                   run one fleet\n",
      stderr);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto number = [&]() -> std::uint64_t {
      if (++i >= argc) usage();
      char* end = nullptr;
      const std::uint64_t value = std::strtoull(argv[i], &end, 10);
      if (end == argv[i] || *end != '\0') usage();
      return value;
    };
    if (option == "--seeds") {
      options.seeds = number();
    } else if (option == "--first") {
      options.first = number();
    } else if (option == "--seed") {
      options.seed = number();
    } else if (option == "--fleet") {
      options.fleet = number();
    } else if (option == "--jobs") {
      options.jobs = std::max(1U, static_cast<unsigned>(number()));
    } else if (option == "--trace") {
      options.trace = true;
    } else {
      usage();
    }
  }
  return options;
}

bool run_one(std::uint64_t seed, bool trace, sim::World::Tally& tally) {
  try {
    sim::World world(seed, trace ? &std::cout : nullptr);
    world.run();
    tally = world.tally();
    return true;
  } catch (const std::exception& failure) {
    std::cout << std::flush;
    std::fprintf(stderr, "seed %llu broke \"%s\"; replay: sim --seed %llu --trace\n",
                 static_cast<unsigned long long>(seed), failure.what(),
                 static_cast<unsigned long long>(seed));
    return false;
  }
}

bool run_fleet(std::uint64_t seed, bool trace) {
  try {
    sim::Fleet(seed, trace ? &std::cout : nullptr).run();
    return true;
  } catch (const std::exception& failure) {
    std::cout << std::flush;
    std::fprintf(stderr, "fleet %llu broke \"%s\"; replay: sim --fleet %llu --trace\n",
                 static_cast<unsigned long long>(seed), failure.what(),
                 static_cast<unsigned long long>(seed));
    return false;
  }
}

std::uint64_t seed_of(const Options& options, std::uint64_t number) {
  const std::uint64_t known = std::size(sim::kKnownSeeds);
  return number < known ? sim::kKnownSeeds[number].seed : options.first + (number - known);
}

// Runs every jobs-th world, starting with the job's own number.
void work(const Options& options, unsigned job, std::uint64_t count, Progress& progress) {
  for (std::uint64_t number = job; number < count; number += options.jobs) {
    progress.current = seed_of(options, number);
    sim::World::Tally tally;
    const bool fleet = number % kFleetEvery == 0;
    bool right = run_one(progress.current, false, tally);
    if (fleet) right &= run_fleet(progress.current, false);
    if (!right) {
      progress.failed = progress.failed + 1;
      if (progress.failed >= kMostFailures) break;
    }
    progress.done = progress.done + 1;
    progress.steps = progress.steps + tally.steps;
    progress.links = progress.links + tally.links;
    progress.takeovers = progress.takeovers + tally.takeovers;
    progress.candidates_dropped = progress.candidates_dropped + tally.candidates_dropped;
    progress.kills = progress.kills + tally.kills;
    progress.parkings = progress.parkings + tally.parkings;
    progress.bytes = progress.bytes + tally.bytes;
    progress.clean = progress.clean + (tally.clean ? 1 : 0);
    progress.reusable = progress.reusable + (tally.reusable ? 1 : 0);
    progress.fleets = progress.fleets + (fleet ? 1 : 0);
  }
}

int run_all(const Options& options) {
  const std::uint64_t count = options.seeds + std::size(sim::kKnownSeeds);
  void* shared = mmap(nullptr, options.jobs * sizeof(Progress), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    std::perror("mmap");
    return 1;
  }
  auto* progress = static_cast<Progress*>(shared);
  // The read end reports end of file when the last worker is gone; nothing is ever written.
  int alive[2];
  if (pipe(alive) != 0) {
    std::perror("pipe");
    return 1;
  }
  std::vector<pid_t> workers;
  for (unsigned job = 0; job < options.jobs; ++job) {
    const pid_t child = fork();
    if (child == 0) {
      close(alive[0]);
      work(options, job, count, progress[job]);
      std::_Exit(0);
    }
    workers.push_back(child);
  }
  close(alive[1]);

  // The only real clock: for the report.
  const auto began = std::chrono::steady_clock::now();
  const auto total = [&](auto member) {
    std::uint64_t sum = 0;
    for (unsigned job = 0; job < options.jobs; ++job)
      sum += progress[job].*member;
    return sum;
  };
  pollfd last_gone{.fd = alive[0], .events = POLLIN, .revents = 0};
  while (poll(&last_gone, 1, 5000) == 0) {
    std::printf("%llu of %llu worlds\n", static_cast<unsigned long long>(total(&Progress::done)),
                static_cast<unsigned long long>(count));
    std::fflush(stdout);
  }
  bool died = false;
  for (unsigned job = 0; job < options.jobs; ++job) {
    int status = 0;
    waitpid(workers[job], &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    died = true;
    const auto seed = static_cast<unsigned long long>(progress[job].current);
    std::fprintf(stderr,
                 "seed %llu ended the process (status %d); replay: sim --seed %llu --trace\n", seed,
                 status, seed);
  }
  const double taken =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto done = total(&Progress::done);
  const auto failed = total(&Progress::failed);
  std::printf("%llu worlds and %llu fleets in %.1f s (%.0f a second), %llu failed\n",
              static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(total(&Progress::fleets)), taken,
              static_cast<double>(done) / taken, static_cast<unsigned long long>(failed));
  const auto each = [&](auto member) {
    return static_cast<double>(total(member)) /
           static_cast<double>(std::max<std::uint64_t>(done, 1));
  };
  std::printf(
      "on average %.0f steps, %.1f links, %.0f bytes; %.0f%% ended cleanly, %.0f%% on a link that "
      "was good for another session\n",
      each(&Progress::steps), each(&Progress::links), each(&Progress::bytes),
      100 * each(&Progress::clean), 100 * each(&Progress::reusable));
  std::printf(
      "%.2f links taken over by a candidate, %.2f candidates dropped, %.2f kills, %.2f of them "
      "after "
      "parking\n",
      each(&Progress::takeovers), each(&Progress::candidates_dropped), each(&Progress::kills),
      each(&Progress::parkings));
  return failed == 0 && !died ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.seed) {
    sim::World::Tally tally;
    return run_one(*options.seed, options.trace, tally) ? 0 : 1;
  }
  if (options.fleet) return run_fleet(*options.fleet, options.trace) ? 0 : 1;
  return run_all(options);
}
