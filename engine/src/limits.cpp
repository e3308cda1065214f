// Measures the best that the machine can do, with which the benchmark compares the engine.
#include <algorithm>
#include <chrono>

#include "dispatch.hpp"
#include "team.hpp"
#include "wavewright/engine.hpp"

namespace wavewright {
namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The shortest of many times that `work` takes on all threads. Work of less than a millisecond now and then finds all
// cores free, on a busy machine too.
template <class Work>
double shortest(Team& team, Work work) {
    double best = 1e9;
    for (int round = 0; round < 200; round++) {
        const double start = seconds();
        team.run(work);
        best = std::min(best, seconds() - start);
    }
    return best;
}

}  // namespace

Limits measure_limits(std::size_t bytes, int threads, const std::string& isa) {
    Team team(threads);
    const Kernels& set = kernels(isa);
    const std::size_t own = std::max<std::size_t>(bytes / threads / 512 * 512, 512);
    const std::size_t rounds = std::max<std::size_t>(1, (std::size_t{1} << 24) / (own * threads));
    std::vector<Buffer<std::byte>> memory;
    for (int thread = 0; thread < threads; thread++) memory.emplace_back(own);
    std::vector<float> sums(threads);
    const double reading = shortest(team, [&](int thread) {
        for (std::size_t i = 0; i < rounds; i++) sums[thread] += set.read(memory[thread].data(), own);
    });
    const std::size_t steps = 8'000'000;
    const double adding = shortest(team, [&](int thread) { sums[thread] += set.multiply_add(steps); });
    const double counting = shortest(team, [&](int thread) { sums[thread] += set.multiply_add_int8(steps); });
    const double added = static_cast<double>(steps) * threads;
    return {static_cast<double>(own * rounds) * threads / reading, added / adding, added / counting};
}

}  // namespace wavewright
