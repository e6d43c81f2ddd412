import { CircleAlert, CircleCheck } from "lucide-react";
import { useSyncExternalStore } from "react";


interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

/** The few words that float up after something was done. */
class Toasts {
  private shown: readonly Toast[] = [];
  private readonly listeners = new Set<() => void>();
  private last = 0;

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly list = (): readonly Toast[] => this.shown;

  say(text: string, bad = false): void {
    const id = ++this.last;
    this.set([...this.shown.slice(-2), { id, text, bad }]);
    setTimeout(() => this.set(this.shown.filter((toast) => toast.id !== id)), bad ? 9000 : 4000);
  }

  private set(next: readonly Toast[]): void {
    this.shown = next;
    for (const tell of this.listeners) tell();
  }
}

const toasts = new Toasts();

/** Says in passing that something was done, or that it failed. */
export const say = (text: string, bad = false): void => toasts.say(text, bad);

export function ToastRegion() {
  const list = useSyncExternalStore(toasts.subscribe, toasts.list);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {list.map((toast) => (
        <p key={toast.id} className="toast" data-bad={toast.bad || undefined}>
          {toast.bad ? <CircleAlert size={16} aria-hidden /> : <CircleCheck size={16} aria-hidden />}
          {toast.text}
        </p>
      ))}
    </div>
  );
}
