import Synchronization

/// A stack that any thread may use.
final class LockedList<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])

  func push(_ element: Element) { elements.withLock { $0.append(element) } }
  func pop() -> Element? { elements.withLock { $0.popLast() } }
}
