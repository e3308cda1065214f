// Aligned memory for numbers, zero at first and of fixed size. Large buffers lie on large pages.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace wavewright {

template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t count) : count_(count) {
        constexpr std::size_t large = std::size_t{2} << 20;
        const std::size_t bytes = count * sizeof(T) + 64;  // kernels may read a whole vector from any element
        const std::size_t alignment = bytes >= large ? large : 64;
        const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
        data_ = static_cast<T*>(std::aligned_alloc(alignment, rounded));
        if (!data_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        if (alignment == large) madvise(data_, rounded, MADV_HUGEPAGE);
#endif
        std::memset(static_cast<void*>(data_), 0, rounded);
    }
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    T* data() const { return data_; }
    std::size_t size() const { return count_; }
    T& operator[](std::size_t i) const { return data_[i]; }
    std::span<std::byte> bytes() const { return std::as_writable_bytes(std::span(data_, count_)); }

private:
    T* data_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace wavewright
