// Tests of the engine in real time, without Python. The generating path neither allocates nor calls the system, and
// threads that hold each other up change no bit. `make sanitize` builds these tests with sanitizers.
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "../src/way_rule.hpp"
#include "check.hpp"
#include "playing.hpp"

#if defined(__linux__)
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

using namespace wavewright;

// -- An allocator that counts allocations.

namespace {
std::atomic<long> allocations{0};
}

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS_ALLOCATIONS 1
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
void* malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
    allocations++;
    return __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}
void free(void* memory) {
    if (memory) allocations++;
    __libc_free(memory);
}
}
#endif

namespace {

// Drives the rule with made-up times of a sample.
struct Driven {
    using Time = WayRule::Time;
    WayRule rule;
    Time now{std::chrono::hours(5)}, since_slice{0};

    Driven() { rule.resume(now); }
    // The share of the samples' time that the caller is alone. Another program takes `slice` now and then.
    double alone(Time together, Time alone, Time duration, Time slice = Time::zero(), Time every = Time::max()) {
        Time by_itself{0}, played{0};
        while (played < duration) {
            Time sample = rule.alone() ? alone : together;
            if ((since_slice += sample) > every) {
                sample += slice;
                since_slice = Time::zero();
            }
            if (rule.alone()) by_itself += sample;
            played += sample;
            rule.played(now += sample, 1);
        }
        return std::chrono::duration<double>(by_itself) / played;
    }
};

void way_rule() {
    using namespace std::chrono_literals;
    check(Driven().alone(60us, 100us, 60s) < 0.02, "the faster way is not taken: together");
    check(Driven().alone(100us, 60us, 60s) > 0.97, "the faster way is not taken: alone");
    check(Driven().alone(100us, 100us, 60s) > 0.97, "cores are taken that bring nothing");
    check(Driven().alone(30ms, 55ms, 60s) < 0.06, "long steps of many streams send the caller alone");
    check(Driven().alone(60us, 100us, 60s, 4ms, 200ms) < 0.02, "a rare slice of another program sends the caller alone");

    Driven busy;
    busy.alone(60us, 100us, 10s);
    check(busy.alone(5ms, 100us, 40ms) > 0.4, "other programs on the cores do not send the caller alone");
    check(busy.alone(5ms, 100us, 10s) > 0.97, "tries take much of the time");
    check(busy.alone(60us, 100us, 1100ms) < 0.99, "the caller stays alone when the cores are free again");
    check(busy.alone(60us, 100us, 10s) < 0.02, "the caller does not come back for good");

    Driven live;  // The pause between two blocks is no work.
    live.alone(100us, 60us, 1s);
    double alone = 0;
    for (int block = 0; block < 2000; block++) {
        alone += live.alone(100us, 60us, 5ms) / 2000;
        live.rule.resume(live.now += 100ms);
    }
    check(alone > 0.97, "pauses between blocks count as work");
}

// Two threads on one core hold each other up. So the caller goes on alone, and tries two threads again now and then.
void same_bits_on_one_core(const Voices& voices) {
#if defined(__linux__)
    constexpr int kCount = 1300;
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    for (const auto& [precision, streams] :
         {std::pair{Precision::float32, 2}, {Precision::int8, 2}, {Precision::int8, kMany}}) {
        Player reference(voices, precision, {streams, 1});
        sched_setaffinity(0, sizeof one, &one);
        Player engine(voices, precision, {streams, 2});
        begin(engine);
        begin(reference);
        for (int block : {streams == kMany ? 300 : kCount, 1, 1, 70})
            check(generate(engine, block) == generate(reference, block), voices.name() + ": other codes on one core");
        sched_setaffinity(0, sizeof all, &all);
    }
#else
    (void)voices;
#endif
}

void no_allocation(const Voices& voices, int streams) {
#if defined(COUNTS_ALLOCATIONS)
    Player engine(voices, Precision::int8, {streams, 2});
    std::vector<std::int32_t> codes(std::size_t(streams) * 200);
    std::vector<float> logits(codes.size() * kLevels);
    std::vector<double> nats(codes.size());
    const std::vector<double> temperature{0.9}, top_p{0.9};
    const std::vector<int> top_k{20};
    const Model& last = voices.models.back();
    const int number = static_cast<int>(voices.models.size()) - 1;
    const int frames = is_conditioned(last) ? 40 : 0;  // which 200 samples begin
    const std::vector<float> dense(std::size_t(streams) * 3 * frames), none;
    const std::vector<Event> events(is_conditioned(last) ? 40 : 0, Event{9, EventKind::strike, 60, 90});
    const long before = allocations;
    const int dropped = events.empty() ? 8 : engine.feed(1, events, number);
    engine.generate({temperature, top_k, top_p, engine.amount}, codes);
    engine.prime(codes, number ? none : dense, number ? dense : none);
    if (number == 0) engine.logits(codes, logits, dense);
    if (number == 0) engine.score(codes, nats, dense);
    const long after = allocations;
    check(after == before, voices.name() + ": the generating path allocates");
    check(dropped == 8, voices.name() + ": drops other events than those without room");
    const long unused = allocations;
    void* volatile memory = malloc(16);
    free(memory);
    const long used = allocations;
    check(used == unused + 2, "the counting allocator does not count");
#else
    (void)voices, (void)streams;
#endif
}

#if defined(__linux__) && !defined(SANITIZED) && defined(__x86_64__)
// Generates in a child process whose threads may only wait. Any other system call kills the child.
bool survives_alone(const Voices& voices, bool call) {
    const pid_t child = fork();
    if (child == 0) {
        Player engine(voices, Precision::float32, {2, 2});
        begin(engine);
        std::vector<std::int32_t> codes(2 * 500);
        const std::vector<double> temperature{0.9}, top_p{0.9};
        const std::vector<int> top_k{20};
        sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 4, 0),      // another program has the core
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 3, 0),  // an idle thread, between blocks
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_nanosleep, 2, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        sock_fprog program{sizeof filter / sizeof *filter, filter};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) _exit(77);
        engine.generate({temperature, top_k, top_p, engine.amount}, codes);
        engine.prime(codes);
        if (call) syscall(SYS_getpid);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        std::printf("skipped: this system takes no seccomp filter\n");
        return !call;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void no_system_call(const Voices& voices) {
    check(survives_alone(voices, false), voices.name() + ": the generating path calls the system");
    check(!survives_alone(voices, true), "a call of the system goes unnoticed");
}
#else
void no_system_call(const Voices&) {}
#endif

}  // namespace

int main() {
    for (const Voices& voices : all_voices()) {
        same_bits_on_one_core(voices);
        for (int streams : {3, kMany}) no_allocation(voices, streams);
        no_system_call(voices);
    }
    way_rule();
    return summary();
}
