import Foundation
import GGUF
import Plan
import Quantize
import Tensors
import Testing

@Suite struct MemoryTests {
  @Test(arguments: Published.all.cache.sorted { $0.key < $1.key }) func cachePerToken(name: String, bytes: Int) throws {
    let dimensions = try ModelDimensions(of: try PlanSource(name).model)
    let cache = KeyValueCache(dimensions)
    #expect(cache.bytesPerToken(.f16) == bytes)
    // 34 bytes for 32 elements instead of 64.
    #expect(cache.bytesPerToken(.q8_0) == bytes / 64 * 34)
    #expect(cache.bytes(context: 1, .f16) == 256 * bytes, "llama.cpp rounds up to 256 cells")
  }

  /// Layers with a window keep it and a batch, delta nets a state, and layers of neither kind every position.
  ///
  /// gpt-oss-20b: 12 of 24 layers of 2 x 512 elements with a window of 128; at 640 positions and more they keep 768.
  /// Qwen 3.5 27B: 16 of 64 layers of 2 x 1024; 48 states of 48 heads of 128 x 128, and 3 tokens of 10,240 channels.
  @Test func windowsAndStates() throws {
    func cache(_ name: String) throws -> KeyValueCache {
      KeyValueCache(try ModelDimensions(of: PlanSource(name).model))
    }
    let gpt = try cache("gpt-oss-20b")
    let half = 12 * 1024 * 2
    #expect(gpt.bytesPerToken(.f16) == half)
    #expect(gpt.windowBytes(context: 512, .f16) == half * 512)
    #expect(gpt.windowBytes(context: 131_072, .f16) == half * 768)
    #expect(gpt.bytes(context: 131_072, .f16) == half * 131_840)
    let qwen = try cache("Qwen3.5-27B")
    let state: Int = 48 * 4 * (48 * 128 * 128 + 3 * 10_240)
    #expect(qwen.bytesPerToken(.f16) == 65_536)
    #expect(qwen.stateBytes == state)
    #expect(qwen.bytes(context: 256, .q8_0) == 34_816 * 256 + state)
    // 10 of 60 layers have full attention with 4 heads of 512 elements, and the others 16 heads of 256.
    let gemma = try cache("Gemma-4-31B")
    #expect(gemma.bytesPerToken(.f16) == 81_920)
    #expect(gemma.windowBytes(context: 8192, .f16) == 819_200 * 1536)
    // The last 20 of 35 layers use the keys of others; of the first 15, 3 have full attention.
    let small = try cache("Gemma-4-E2B")
    #expect(small.bytesPerToken(.f16) == 6144)
    #expect(small.windowBytes(context: 8192, .f16) == 12_288 * 1024)
    #expect(try cache("Llama-3.3-70B").windowBytes(context: 8192, .f16) == 0)
  }

  @Test func bothFormsOfLatentAttention() throws {
    let model = try PlanSource("DeepSeek-R1").model
    let old = try #require(TypedShapes(oldLatentFormOf: model))
    let (new, former) = (try ModelDimensions(of: model), try ModelDimensions(of: old))
    #expect(KeyValueCache(former).bytesPerToken(.f16) == 4_997_120)
    #expect(KeyValueCache(new, expanded: true).bytesPerToken(.f16) == 4_997_120)
    #expect(KeyValueCache(former, expanded: false).bytesPerToken(.f16) == 70_272)
    #expect(former.latent?.isExpanded == true && new.latent?.isExpanded == false)
  }

  /// The speeds were measured on one machine, at the start of a context.
  @Test func speedsAsMeasured() throws {
    for measured in Published.all.speed {
      let row = try #require(try plan(measured.model, on: "m3-ultra-512", mixes: [measured.mix]).rows.first)
      let planned = try #require(row.tokensPerSecond)
      #expect(abs(planned / measured.tokens - 1) < 0.01, "\(measured.model): \(planned)")
      #expect(try #require(row.tokensPerSecondAtFullContext) < planned)
    }
  }

  @Test func totalsAddUp() throws {
    let plan = try plan("Llama-3.1-405B", cache: .q8_0)
    #expect(plan.cacheBytes == 516_096 / 64 * 34 * 32_768)
    for row in plan.rows {
      #expect(row.totalBytes == row.fileBytes + plan.cacheBytes + plan.working.total)
      #expect(row.fits == (row.totalBytes <= plan.machine.usable))
      #expect(row.fits == (row.fileBytes <= plan.largestFile))
      #expect(row.fileBytes == row.tensorBytes + plan.metadata.bytes)
    }
    #expect(plan.rows.count == StockMix.allCases.count + Preset.allCases.count)
  }

  /// The best is the one of least drift, not the largest.
  @Test(arguments: [
    ("Llama-3.3-70B", "m3-ultra-256", "BF16"), ("Llama-3.3-70B", "m4-max-64", "Q4_K_M"),
    ("Llama-3.1-405B", "m3-ultra-256", "IQ4_XS"), ("DeepSeek-R1", "m3-ultra-256", "IQ2_M"),
    ("Qwen2.5-Coder-32B", "rtx-4090", "IQ3_M"),
  ])
  func theBestThatFits(model: String, machine: String, mix: String) throws {
    let plan = try plan(model, on: machine, context: machine == "rtx-4090" ? 32_768 : 16_384)
    let best = try #require(plan.best)
    #expect(plan.rows[best].name == mix)
    let drift = try #require(plan.rows[best].publishedDrift)
    for row in plan.rows where row.fits {
      if let other = row.publishedDrift { #expect(other >= drift, "\(row.name)") }
    }
  }

  @Test func nothingIsBestWhereNothingFits() throws {
    let plan = try plan("DeepSeek-R1", on: "rtx-4090")
    #expect(plan.best == nil)
    #expect(plan.smallest?.name == "IQ1_S")
    #expect(plan.rows.allSatisfy { !$0.fits })
  }

  @Test func aTargetIsARow() throws {
    var plan = try plan("Llama-3.1-405B")
    plan.add(target: 190_000_000_000, named: "target")
    let row = try #require(plan.rows.last)
    #expect(row.fileBytes == 190_000_000_000)
    // Between Q3_K_S and Q3_K_M; the best stock mix that isn't larger is IQ3_M.
    #expect(row.bitsPerWeight > 3.45 && row.bitsPerWeight < 3.86)
    #expect(plan.expectedDrift(of: row) == PublishedDrift.meanKLD(.iq3_m, hasImportance: true))
  }
}
