// Tests of the engine in real time, without Python. The generating path neither allocates nor calls the system, and
// threads that stall each other change no bit. `make sanitize` builds these tests with sanitizers.
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "../src/stall_rule.hpp"
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

// Drives the rule with made-up times. Work and waiting take turns until `end`, or until the caller is to work alone.
struct Stalled {
    StallRule rule;
    StallRule::Time now{std::chrono::hours(5)};

    Stalled() { rule.resume(now); }
    bool goes_alone(StallRule::Time work, StallRule::Time wait, StallRule::Time duration) {
        for (const StallRule::Time end = now + duration; now < end;) {
            rule.waited(now + work, now + work + wait);
            now += work + wait;
            if (rule.alone(now)) return true;
        }
        return false;
    }
    // How long the caller is to work alone from now on.
    StallRule::Time stretch() {
        const StallRule::Time start = now;
        while (rule.alone(now)) now += std::chrono::milliseconds(1);
        rule.resume(now);
        return now - start;
    }
};

void stall_rule() {
    using namespace std::chrono_literals;
    check(!Stalled().goes_alone(60us, 40us, 60s), "waiting for less than half of the time sends the caller alone");
    check(!Stalled().goes_alone(600us, 300us, 60s), "long steps of many streams send the caller alone");
    check(!Stalled().goes_alone(8ms, 250us, 60s), "a worker that wakes from its nap sends the caller alone");
    check(!Stalled().goes_alone(200ms, 4ms, 60s), "a rare slice of another program sends the caller alone");
    check(!Stalled().goes_alone(10s, 1s, 60s), "the unequal ends of a long block send the caller alone");
    check(Stalled().goes_alone(1ms, 4ms, 40ms), "other programs on the cores do not send the caller alone");
    check(Stalled().goes_alone(20us, 200us, 40ms), "short waits that add up do not send the caller alone");

    Stalled live;  // The pause between two blocks is no work, which would hide the waiting.
    bool alone = false;
    for (int block = 0; block < 20 && !alone; block++) {
        alone = live.goes_alone(1ms, 4ms, 5ms);
        live.rule.resume(live.now += 100ms);
    }
    check(alone, "pauses between blocks hide that the caller waits");

    Stalled busy;
    StallRule::Time before{0}, longest{0}, total{0};
    for (int i = 0; i < 8; i++) {
        check(busy.goes_alone(1ms, 4ms, 40ms), "the caller does not go alone again");
        const StallRule::Time stretch = busy.stretch();
        check(stretch >= before, "a stretch alone is shorter than the one before");
        longest = std::max(longest, stretch);
        total += stretch;
        before = stretch;
    }
    check(longest == StallRule::kMostAlone, "stretches alone do not grow to the longest");
    check(total > 10 * 8 * StallRule::kMostDebt, "the caller is alone for too short a time to make up for the tries");
    check(!busy.goes_alone(100us, 10us, 10s), "the caller stays alone when the cores are free again");
    check(busy.goes_alone(1ms, 4ms, 40ms) && busy.stretch() == StallRule::kLeastAlone,
          "a stall after a good time is not forgiven");
}

// Two threads on one core stall each other. So the caller goes on alone, and tries two threads again now and then.
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
    stall_rule();
    return summary();
}
