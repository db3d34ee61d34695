import Files
import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

/// A model over bytes that predicts b + 1 after byte b.
struct CountingModel {
  func run(windows: [[Int32]], scored: Range<Int>) -> any LogitSource {
    var values: [Float] = []
    for window in windows {
      for position in scored {
        var row = [Float](repeating: 0, count: 256)
        row[Int(window[position] + 1) % 256] = 8
        values += row
      }
    }
    return TableSource(rows: windows.count * scored.count, vocabulary: 256, values: values)
  }

  func tokenize(_ text: String) -> [Int32] { [1] + text.utf8.map(Int32.init) }
}

@Suite struct TaskTests {
  let model = CountingModel()

  private func score(_ tasks: [ChoiceTask], runs: Int = 4) throws -> TaskScore {
    let answers = try ChoiceTask.answers(tasks, named: "m", runs: runs, memory: scoringMemory, run: model.run)
    #expect(answers.count == tasks.count)
    return TaskScore(answers: answers, of: tasks)
  }

  @Test func hellaSwag() throws {
    let text = "Letters: a\n2\nzz\nqrq\nabcd\nba\nMore: k\n0\nlm\nklkl\nlkj\nmmm\n"
    let tasks = try ChoiceTask.hellaSwag(text, path: "h.txt", tokenize: model.tokenize)
    #expect(tasks.count == 2)
    // The common prefix is BOS, ten bytes and a space.
    #expect(tasks[0].scored.map(\.lowerBound) == [12, 12, 12, 12])
    let score = try self.score(tasks)
    #expect(score.tasks == 2 && score.chance == 0.25)
    // All tokens of "abcd" ascend. In the second task, half of the tokens of "klkl" and one of the two of "lm" do.
    #expect(score.correct == 2)
    #expect(try self.score(tasks, runs: 1) == score)
    #expect(try self.score(tasks, runs: 8) == score)
  }

  @Test func winoGrande() throws {
    let text = "0,The _ bcdefgh.,a,x,1\n1,\"So, _ klmnopq.\",x,j,2\n2,Yes _ bcdefgh.,a,x,2\n"
    let tasks = try ChoiceTask.winoGrande(text, path: "w.csv", tokenize: model.tokenize)
    #expect(tasks.map(\.correct) == [[0], [1], [1]])
    // The choice and the last token are not scored.
    #expect(tasks[0].scored == [6..<14, 6..<14])
    // The texts after the choices are equal, so the scores differ only by the effect of the choices.
    #expect(tasks[1].sequences[0].count == 1 + "So, x klmnopq.".utf8.count)
    let score = try self.score(tasks)
    #expect(score.tasks == 3 && score.chance == 0.5)
  }

  /// CR LF is a single character of a Swift string, different from "\n".
  @Test(arguments: ["\r\n", "\r"]) func lineEndsOfOtherSystems(_ end: String) throws {
    let hella = "Letters: a\n2\nzz\nqrq\nabcd\nba\nMore: k\n0\nlm\nklkl\nlkj\nmmm\n"
    let grande = "0,The _ bcdefgh.,a,x,1\n1,\"So, _ klmnopq.\",x,j,2\n"
    #expect(
      try ChoiceTask.hellaSwag(hella.replacing("\n", with: end), path: "h", tokenize: model.tokenize)
        == ChoiceTask.hellaSwag(hella, path: "h", tokenize: model.tokenize))
    #expect(
      try ChoiceTask.winoGrande(grande.replacing("\n", with: end), path: "w", tokenize: model.tokenize)
        == ChoiceTask.winoGrande(grande, path: "w", tokenize: model.tokenize))
  }

  @Test func multipleChoice() throws {
    var file = TaskFile()
    file.task("What comes: a", answers: ["bb", "abc", "zz"], right: [1])
    file.task("And then: k", answers: ["zz", "lk", "klm"], right: [0])
    let tasks = try ChoiceTask.multipleChoice(file.bytes, path: "m.bin", tokenize: model.tokenize)
    let score = try self.score(tasks)
    #expect(score.tasks == 2 && score.correct == 1)
    #expect(abs(score.chance - 1.0 / 3) < 1e-12)
    let picked = try ChoiceTask.multipleChoice(file.bytes, path: "m.bin", limit: 1, tokenize: model.tokenize)
    #expect(picked.count == 1 && tasks.contains(picked[0]))
  }

  /// Text and other files are refused by their kind, not as truncated files.
  @Test(arguments: ["Question?\nA\nB\n", "[{\"question\": \"a\"}]\n", "GGUF\u{3}\u{0}\u{0}\u{0}"])
  func otherFilesAreNotMultipleChoice(content: String) {
    let error = #expect(throws: FormatError.self) {
      try ChoiceTask.multipleChoice(Array(content.utf8), path: "m.txt", tokenize: model.tokenize)
    }
    #expect(error?.description == "m.txt: is not a file of multiple-choice tasks in llama-perplexity's binary format")
  }

  /// Wilson's interval for 8 of 10, from the textbook formula.
  @Test func wilsonInterval() {
    let score = TaskScore(tasks: 10, correct: 8, chance: 0.25)
    #expect(abs(score.interval.low - 0.4902) < 1e-4 && abs(score.interval.high - 0.9433) < 1e-4)
    #expect(abs(score.accuracy.error - (0.8 * 0.2 / 9).squareRoot()) < 1e-12)
    let none = TaskScore(tasks: 10, correct: 0, chance: 0.25)
    #expect(none.interval.low == 0 && none.interval.high > 0.2)
  }

  @Test(arguments: [
    "one\ntwo\n", "", "ctx\n4\na\nb\nc\nd\n", "ctx\nx\na\nb\nc\nd\n", "ctx\n0\nsame\nsame\nsame\nsame\n",
  ])
  func refusesBadHellaSwag(text: String) {
    #expect(throws: FormatError.self) { try ChoiceTask.hellaSwag(text, path: "h", tokenize: model.tokenize) }
  }

  @Test(arguments: ["", "0,no gap,a,b,1\n", "0,a _ b,a,b,3\n", "0,a _ b,a,1\n", "0,\"a _ b,a,b,1\n", "0,a _ b,x,x,1\n"])
  func refusesBadWinoGrande(text: String) {
    #expect(throws: FormatError.self) { try ChoiceTask.winoGrande(text, path: "w", tokenize: model.tokenize) }
  }

  /// Damaged files of tasks are refused or read, without a crash.
  @Test func mutatedTaskFiles() {
    var file = TaskFile()
    for index in 0..<5 { file.task("Question \(index)", answers: ["a", "b", "cd"], right: [index % 3]) }
    var random = SplitMix(seed: 61)
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = file.bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let offset = Int.random(in: 0..<bytes.count, using: &random)
        if Bool.random(using: &random) {
          bytes[offset] = UInt8.random(in: 0...255, using: &random)
        } else {
          bytes.removeSubrange(offset..<min(bytes.count, offset + 5))
        }
        if bytes.isEmpty { break }
      }
      do {
        _ = try ChoiceTask.multipleChoice(
          bytes, path: "m", limit: Bool.random(using: &random) ? 3 : nil, tokenize: model.tokenize)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 10_000)
  }
}

/// Builds a multiple-choice file.
private struct TaskFile {
  private var tasks: [[UInt8]] = []

  mutating func task(_ question: String, answers: [String], right: Set<Int>) {
    var bytes: [UInt8] = []
    func append(_ value: Int) { withUnsafeBytes(of: UInt32(value).littleEndian) { bytes += Array($0) } }
    func append(_ text: String) {
      append(text.utf8.count)
      bytes += text.utf8
    }
    append(question)
    for _ in 0..<2 {
      append(answers.count)
      answers.forEach { append($0) }
      answers.indices.forEach { append(right.contains($0) ? 1 : 0) }
    }
    tasks.append(bytes)
  }

  var bytes: [UInt8] {
    var all: [UInt8] = []
    func append(_ value: Int) { withUnsafeBytes(of: UInt32(value).littleEndian) { all += Array($0) } }
    append(tasks.count)
    var offset = 4 + 4 * tasks.count
    for task in tasks {
      append(offset)
      offset += task.count
    }
    return all + tasks.flatMap { $0 }
  }
}
