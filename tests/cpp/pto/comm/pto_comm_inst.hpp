// Declarations of the communication instructions that the generated C++ uses, for a syntax check.
#pragma once

#include "../pto-inst.hpp"

namespace pto {
namespace comm {

enum class NotifyOp { AtomicAdd, Set };
enum class WaitCmp { EQ, NE, GT, GE, LT, LE };
enum class ReduceOp { Sum, Max, Min };
enum class DmaEngine { SDMA };

struct AsyncSession {};
struct AsyncEvent {
  bool Wait(AsyncSession &);
  bool Test(AsyncSession &);
};
namespace sdma {
struct SdmaBaseConfig {
  uint64_t block_bytes;
  uint64_t block_offset;
  uint32_t queues;
};
}  // namespace sdma

template <typename G>
struct ParallelGroup {
  static ParallelGroup Create(G *, int count, int root);
};

// One peer, by way of one or two tiles.
template <AtomicType T = AtomicType::AtomicNone, typename D, typename S, typename P, typename = Tensors<D, S>,
          typename = Tiles<P>>
void TPUT(D &, S &, P &);
template <AtomicType T = AtomicType::AtomicNone, typename D, typename S, typename P, typename Q,
          typename = Tensors<D, S>, typename = Tiles<P, Q>>
void TPUT(D &, S &, P &, Q &);
template <typename D, typename S, typename P, typename = Tensors<D, S>, typename = Tiles<P>>
void TGET(D &, S &, P &);
template <typename D, typename S, typename P, typename Q, typename = Tensors<D, S>, typename = Tiles<P, Q>>
void TGET(D &, S &, P &, Q &);

template <typename G, typename = Tensors<G>>
void TNOTIFY(G &, int32_t, NotifyOp);
template <typename G, typename = Tensors<G>>
void TWAIT(G &, int32_t, WaitCmp);
template <typename G, typename = Tensors<G>>
bool TTEST(G &, int32_t, WaitCmp);

// A group of devices.
template <typename G, typename A, typename P, typename = Tensors<A>, typename = Tiles<P>>
void TBROADCAST(ParallelGroup<G> &, A &, P &);
template <typename G, typename A, typename P, typename Q, typename = Tensors<A>, typename = Tiles<P, Q>>
void TBROADCAST(ParallelGroup<G> &, A &, P &, Q &);
template <typename G, typename A, typename P, typename = Tensors<A>, typename = Tiles<P>>
void TGATHER(ParallelGroup<G> &, A &, P &);
template <typename G, typename A, typename P, typename Q, typename = Tensors<A>, typename = Tiles<P, Q>>
void TGATHER(ParallelGroup<G> &, A &, P &, Q &);
template <typename G, typename A, typename P, typename = Tensors<A>, typename = Tiles<P>>
void TSCATTER(ParallelGroup<G> &, A &, P &);
template <typename G, typename A, typename P, typename Q, typename = Tensors<A>, typename = Tiles<P, Q>>
void TSCATTER(ParallelGroup<G> &, A &, P &, Q &);
template <typename G, typename A, typename C, typename P, typename = Tensors<A>, typename = Tiles<C, P>>
void TREDUCE(ParallelGroup<G> &, A &, C &, P &, ReduceOp);
template <typename G, typename A, typename C, typename P, typename Q, typename = Tensors<A>,
          typename = Tiles<C, P, Q>>
void TREDUCE(ParallelGroup<G> &, A &, C &, P &, Q &, ReduceOp);

// Asynchronous copies.
template <DmaEngine E, typename A, typename = Tiles<A>>
bool BuildAsyncSession(A &, __gm__ uint8_t *, AsyncSession &, uint32_t, const sdma::SdmaBaseConfig &, uint32_t);
template <DmaEngine E, typename D, typename S, typename = Tensors<D, S>>
AsyncEvent TPUT_ASYNC(D &, S &, AsyncSession &);
template <DmaEngine E, typename D, typename S, typename = Tensors<D, S>>
AsyncEvent TGET_ASYNC(D &, S &, AsyncSession &);

}  // namespace comm

// Prefetch into the shared cache.
struct PrefetchAsyncContext {
  explicit PrefetchAsyncContext(__gm__ uint8_t *);
  comm::AsyncSession session;
};
template <typename G, typename = Tensors<G>>
comm::AsyncEvent TPREFETCH_ASYNC(G &, PrefetchAsyncContext &);

}  // namespace pto
