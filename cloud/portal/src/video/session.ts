// One video on the screen: it connects, counts frames, notices when they stop, connects again, and says in words
// what is wrong. It lives outside React: components subscribe to its snapshot.
import { text } from "../text";
import { onLeave } from "../lib/page";
import { nowUs } from "../lib/time";
import { type Order, Playhead, readWord, type Word } from "./control";
import { Film, show } from "./film";
import { shun } from "./link";
import { Patience } from "./patience";
import { Screen } from "./screen";
import type { Seat } from "./seat";
import { Seating } from "./seating";
import { Shuttle } from "./shuttle";
import { blank, Board, changed, type Phase, sameWish, type Snapshot, type Wish } from "./snapshot";
import type { Moment } from "./stamp";
import { StatsReader } from "./stats";
import type { Shown } from "./step";
import { audible, tryAgain, unfit } from "./ways";
import type { Offer } from "./whep";

const nearUs = 1_000_000;
/** How long the page waits for a picture that has begun ahead of it. */
const headStartMs = 250;

export class VideoSession {
  private readonly board = new Board();
  readonly subscribe = this.board.subscribe;
  readonly snapshot = this.board.snapshot;
  private wish: Wish = { site: "", camera: "" };
  /** What has begun ahead of the page's own word, until that comes or something else is wished. */
  private begun: Wish | undefined;
  private pictured: () => void = () => undefined;
  private readonly seating: Seating;
  private controlled = false;
  private playhead = new Playhead(0);
  private reader = new StatsReader();
  private readonly screen: Screen;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private askedMs = 0;
  private decoded = 0;
  private readonly patience = new Patience();
  private siteReason = "";
  /** How long pictures take inside the camera. */
  private ownUs: number | undefined;
  /** Why it is another stream than asked for, as long as this place is kept. */
  private lastingNote = "";
  private readonly unlisten: () => void;
  private readonly shuttle = new Shuttle({
    say: (order) => this.order(order), positionUs: () => this.positionUs(), expect: (atUs) => this.playhead.hold(atUs),
  });
  private scrubbing = false;
  private loud = false;
  /** It stands at the picture that it was prepared for, whatever happens to the connection. */
  private standing = false;
  /** The site knows that it is to stand. */
  private held = false;

  constructor(private readonly video: HTMLVideoElement) {
    this.screen = new Screen(video, {
      live: () => this.wish.fromUs === undefined,
      painted: (mediaTime) => {
        this.playhead.firstFrame(mediaTime);
        if (this.current.firstFrameMs === undefined && this.seating.seat) this.first();
        else this.moving();
      },
    });
    this.seating = new Seating({
      site: () => this.wish.site, offer: () => this.offer(), stands: () => this.current.paused && this.current.firstFrameMs !== undefined, loud: () => this.loud,
      early: (media, why) => {
        if (why !== undefined) return this.set({ reason: why });
        show(this.video, media);
        void this.screen.play();
      },
      accept: (seat, over) => this.accept(seat, over ? this.current.phase : "waiting"),
      release: () => this.release(),
      fell: () => { if (this.current.firstFrameMs === undefined) unfit(this.wish.camera); },
      failed: (reason, again) => this.failed(reason, again),
    });
    // A tab that is closed or put away: the site need not send on until the connection times out.
    this.unlisten = onLeave(() => this.seating.drop(), () => { if (this.goesOn) this.start(this.here()); });
  }

  private get current(): Snapshot { return this.board.current; }

  /** Does what is wished: inside what goes on when the site can. What was begun for it, or stands there, goes on. */
  follow(wish: Wish): void {
    const begun = this.begun && sameWish(this.begun, wish);
    this.begun = undefined;
    if (begun || this.follows(wish)) return;
    if (this.current.phase !== "closed" && wish.fromUs !== undefined && this.current.fromUs !== undefined) this.seek(wish.fromUs);
    else this.start(wish);
  }

  /** Whether it does what is wished: the viewer himself has not led it elsewhere. */
  private follows(wish: Wish): boolean {
    return this.goesOn && sameWish(this.wish, wish) && !this.scrubbing && (this.standing || this.comes || !this.current.paused);
  }

  private get goesOn(): boolean { return this.current.phase !== "closed" && this.current.phase !== "failed"; }

  /** Begins what will be wished in a moment. What is returned comes when the picture is on the screen or there will be none, but
   *  soon: until then the page does best to leave the browser to it. It says whether nothing else has been wished meanwhile. */
  async ahead(wish: Wish): Promise<boolean> {
    await new Promise<void>((done) => {
      this.pictured = done;
      setTimeout(done, headStartMs);
      this.start(wish);
      this.begun = wish;
    });
    return this.begun === wish;
  }

  /** Whether something has begun that the page has not wished yet. */
  get isAhead(): boolean { return this.begun !== undefined; }

  /** Shows nothing until there is a wish again. */
  rest(): void {
    this.begun = undefined;
    if (this.current.phase === "closed") return;
    this.seating.drop();
    show(this.video, null);
    this.set({ ...blank, phase: "closed" });
  }

  /** Starts, or starts again with another wish. */
  start(wish: Wish = this.wish): void {
    this.wish = wish;
    if (this.begun && !sameWish(this.begun, wish)) this.begun = undefined;
    this.playhead = new Playhead(wish.fromUs ?? 0);
    this.standing &&= wish.fromUs !== undefined;
    this.seating.failures = 0;
    this.screen.begin();
    this.askedMs = performance.now();
    this.shuttle.forget();
    this.scrubbing = false;
    this.board.current = { ...blank, fromUs: wish.fromUs, rate: wish.fromUs === undefined ? 1 : this.current.rate };
    void this.seating.connect(); // before anything is painted
    this.set({});
  }

  private here(): Wish {
    return this.wish.fromUs === undefined ? this.wish : { ...this.wish, fromUs: this.positionUs() };
  }

  /** Ends for good: after this the object is of no more use. */
  close(): void {
    this.begun = undefined;
    this.screen.close();
    this.unlisten();
    this.seating.drop();
    show(this.video, null);
    this.set({ phase: "closed" });
    this.board.close();
  }

  /** Has sound come by the way that has room for it. */
  aloud(): void {
    this.loud = true;
    tryAgain(this.wish.camera);
    this.video.muted = false;
    this.start(this.here());
  }

  /** The moment that is on the screen. */
  positionUs(): number {
    return this.wish.fromUs === undefined ? nowUs() : this.playhead.at(this.video.currentTime);
  }

  /** For how long the picture on the screen has been there, milliseconds; undefined before the first one. */
  shownForMs(): number | undefined {
    if (this.current.firstFrameMs === undefined) return undefined;
    return Math.max(0, performance.now() - ((this.screen.sees ? this.screen.shownMs : undefined) ?? this.patience.movedMs));
  }

  /** The moment of the picture on the screen, and how that is known. */
  moment(): Moment {
    if (this.wish.fromUs === undefined) return this.screen.born(this.seating.seat?.relayed ?? false);
    return this.screen.recorded(this.positionUs(), this.current.paused || this.scrubbing);
  }

  /** Goes to another moment of the recording: inside the session when the site can, else with a new one. */
  seek(atUs: number): void {
    if (this.wish.fromUs === undefined || !this.order({ type: "seek", at_us: Math.round(atUs) })) {
      this.start({ ...this.wish, fromUs: atUs });
      return;
    }
    this.wish = { ...this.wish, fromUs: atUs };
    this.playhead.jump(atUs);
    this.screen.moments.expect(Math.round(atUs));
    this.patience.moves();
    this.set({ fromUs: atUs, phase: "waiting", missing: "" });
    if (this.letGo() ? !this.current.paused : this.current.paused) this.resume();
  }

  /** Goes to a moment of the recording, or to the first picture after it, and stands there. */
  prepare(atUs: number): void {
    const at_us = Math.round(atUs);
    const { fromUs } = this.wish;
    this.standing = true;
    // What is just being connected comes to about the same place.
    if (this.current.phase === "connecting" && fromUs !== undefined && Math.abs(fromUs - at_us) < nearUs) return;
    if (fromUs === undefined || !this.order({ type: "seek", at_us })) return this.start({ ...this.wish, fromUs: at_us });
    this.held = this.order({ type: "pause" });
    this.letGo();
    this.wish = { ...this.wish, fromUs: at_us };
    this.playhead.jump(at_us);
    this.screen.moments.expect(at_us);
    this.set({ fromUs: at_us, phase: "waiting", paused: true, missing: "", gap: "", reason: "" });
    if (this.video.paused) void this.screen.play();
  }

  /** The picture of the recording that is on the screen; undefined until there is one of what was asked for. */
  shown(): Shown | undefined {
    if (this.screen.moments.exact) return this.screen.moments.shown();
    return this.playhead.waiting() ? undefined : { siteUs: this.positionUs(), offUs: undefined, shownMs: performance.now() };
  }

  /** Shows a picture so many on, or back, and pauses. */
  step(count: number): void {
    if (this.wish.fromUs === undefined) return;
    if (!this.current.paused) this.pause();
    if (this.video.paused) void this.screen.play(); // what comes is to be seen
    this.screen.steps();
    this.shuttle.step(count);
  }

  /** The moment to which all steps have led, by the site's clock, once its picture is on the screen. */
  readonly landed = (): number | undefined => (this.shuttle.idle ? this.screen.stepped() : undefined);

  /** Shows what lies at a moment while the pointer moves; a seek lets go. */
  scrub(atUs: number): void {
    const begins = !this.scrubbing;
    if (this.wish.fromUs === undefined) this.start({ ...this.wish, fromUs: atUs });
    else if (begins && this.shuttle.knows === false) this.order({ type: "pause" });
    if (begins && this.video.paused) void this.screen.play();
    this.scrubbing = true;
    this.wish = { ...this.wish, fromUs: atUs };
    this.shuttle.scrub(atUs);
  }

  /** Shows live what scrubbing has led away from. */
  backToLive(): void {
    if (this.wish.fromUs !== undefined) this.start({ ...this.wish, fromUs: undefined });
  }

  /** Ends scrubbing, and says whether it was. */
  private letGo(): boolean {
    const was = this.scrubbing;
    this.scrubbing = false;
    this.shuttle.forget();
    return was;
  }

  /** Takes the single picture that the site has sent, or why there is none. */
  private single(word: Extract<Word, { type: "picture" | "stop" }>): void {
    if (word.type === "stop") {
      this.held = true;
      this.set({ paused: true, rate: 1 });
    }
    if (this.current.paused || this.scrubbing) this.playhead.hold(word.at_us);
    const none = word.type === "picture" && word.rtp === undefined;
    this.set({ missing: none ? word.text : "", hint: none ? "" : word.text });
    this.screen.name(word.type === "picture" && word.rtp !== undefined ? { rtp: word.rtp, atUs: word.at_us } : undefined);
    this.shuttle.heard(true);
  }

  /** Whether the first picture of what was asked for is still on its way. */
  private get comes(): boolean { return this.current.firstFrameMs === undefined && this.goesOn; }

  pause(): void {
    if (this.comes && (this.wish.fromUs === undefined || !this.controlled)) {
      // What is on its way comes, and then stands.
      this.standing = this.wish.fromUs !== undefined;
      this.set({ paused: true });
      return;
    }
    // A site that knows steps stops by itself, at a picture that both sides know.
    if (this.wish.fromUs === undefined || this.shuttle.knows !== true) this.video.pause();
    else this.playhead.hold(this.positionUs());
    if (this.wish.fromUs !== undefined) this.held = this.order({ type: "pause" });
    if (this.wish.fromUs !== undefined && !this.held) {
      // The site cannot hold the recording still: remember where we are and ask again on play.
      this.wish = { ...this.wish, fromUs: this.positionUs() };
      this.playhead.jump(this.wish.fromUs ?? 0);
      this.seating.drop();
    }
    this.set({ paused: true });
  }

  resume(): void {
    const begins = this.comes && !this.held;
    this.standing = this.held = false;
    this.set({ paused: false });
    this.patience.moves();
    if (begins) return; // it goes on by itself once it is there
    if (!this.seating.seat || (this.wish.fromUs !== undefined && !this.order({ type: "play" }))) return this.start(this.here());
    void this.video.play().catch(() => undefined);
  }

  /** Connects once more: a recording that stood stands at the same picture again. */
  again(): void {
    this.standing = this.wish.fromUs !== undefined && this.current.paused;
    this.start(this.here());
  }

  /** Plays the recording so many times as fast as life; the other way from a moment on, by the site's clock. */
  pace(rate: number, fromUs?: number): void {
    this.set({ rate });
    this.order({ type: "rate", rate, ...(fromUs === undefined ? {} : { at_us: Math.round(fromUs) }) });
  }

  /** Plays at a rate, also where it stood still. */
  turn(rate: number): void {
    this.pace(rate);
    if (this.current.paused) this.resume();
  }

  /** Takes how fast the site plays: a session that is new is told first what is wished, and has the last word then. */
  private paced(rate: number): void {
    const known = this.controlled;
    this.controlled = true;
    if (this.wish.fromUs === undefined || rate === this.current.rate) return;
    if (known) this.set({ rate });
    else this.order({ type: "rate", rate: this.current.rate });
  }

  /** Takes whether the site knows steps. */
  private stepped(knows: boolean): void {
    if (this.wish.fromUs === undefined) return;
    if (knows !== this.current.steps) this.set({ steps: knows });
    if (this.current.hint && !this.current.paused) this.set({ hint: "" });
    if (this.shuttle.knows !== knows) this.shuttle.heard(knows);
  }

  private order(order: Order): boolean {
    if (!this.controlled || this.seating.seat?.channel.readyState !== "open") return false;
    this.seating.seat.channel.send(JSON.stringify(order));
    return true;
  }

  private offer(): Offer {
    const width = Math.max(this.video.clientWidth, 160) * devicePixelRatio;
    const fromUs = this.wish.fromUs === undefined ? undefined : Math.round(this.playhead.at(this.video.currentTime));
    this.screen.moments.expect(fromUs);
    return { camera: this.wish.camera, stream: this.wish.stream, width, fromUs, silent: this.wish.silent };
  }

  private accept(seat: Seat, phase: Phase): void {
    this.siteReason = "";
    this.ownUs = undefined;
    this.patience.begin();
    const { note, stream, codec } = seat.answer;
    this.lastingNote = note;
    this.set({ phase, reason: "", note, stream, codec, soundElsewhere: audible(seat.answer.unheard) });
    const listen = (message: unknown) => {
      const word = readWord(message);
      if (word && this.seating.seat === seat) this.hear(word);
    };
    seat.channel.onmessage = (event) => listen(event.data);
    for (const message of seat.early) listen(message);
    seat.hears(() => this.set({ hasAudio: true }));
    show(this.video, seat.media);
    this.screen.filmed = seat.media instanceof Film;
    this.decoded = 0;
    this.ticking = setInterval(() => void this.tick(seat), 1000);
    this.screen.ask(seat.channel);
    void this.screen.play();
    if (this.screen.frames > 0 && this.current.firstFrameMs === undefined) this.first(); // its picture was faster than the answer
  }

  private first(): void {
    this.set({ firstFrameMs: performance.now() - this.askedMs });
    requestAnimationFrame(() => setTimeout(this.pictured)); // once it has been painted
    if (this.current.paused && this.wish.fromUs === undefined) this.video.pause();
    this.moving();
  }

  /** Takes the site's word: a picture that stands still has its reason from there, not from a guess here. */
  private hear(word: Word): void {
    this.screen.hear(word);
    this.patience.hears();
    switch (word.type) {
      case "relay":
        if (this.wish.fromUs === undefined && !this.current.paused) void this.seating.move();
        return;
      case "note":
        this.patience.told(word.every_us);
        return this.set({ note: [this.lastingNote, word.text].filter(Boolean).join(" ") });
      case "position":
        this.ownUs = word.born?.own_us;
        if (this.wish.fromUs !== undefined && (this.current.paused || this.scrubbing)) this.playhead.hold(word.at_us);
        else this.playhead.set(word.at_us, this.video.currentTime, word.rate ?? 1);
        this.paced(word.rate ?? 1);
        this.stepped(word.steps === true);
        if (this.standing && !this.held) this.pause();
        return;
      case "picture":
      case "stop":
        return this.single(word);
      case "state":
        this.siteReason = word.text;
        if (word.text && this.current.phase !== "failed") this.set({ phase: "stalled", reason: word.text });
        return;
      case "end":
        this.seating.drop();
        return this.set({ phase: "failed", reason: word.text || text.live.ended });
      default:
        this.set(changed(word));
    }
  }

  private moving(): void {
    this.patience.moves();
    this.siteReason = "";
    this.seating.failures = 0;
    if (this.current.phase === "waiting" || this.current.phase === "stalled") this.set({ phase: "playing", reason: "" });
  }

  private async tick(seat: Seat): Promise<void> {
    const stats = await this.reader.read(seat).catch(() => undefined);
    if (seat !== this.seating.seat || !stats) return;
    // Decoded frames count even where the browser does not paint them, as in a hidden tab.
    const decodes = stats.framesDecoded > this.decoded;
    if (decodes && !this.screen.sees && this.current.firstFrameMs === undefined) this.first();
    else if (decodes) this.moving();
    this.decoded = stats.framesDecoded;
    this.set({ stats, delayMs: this.screen.delayMs, insideMs: this.ownUs && this.ownUs / 1000 });
    this.screen.ask(seat.channel);
    if ((this.current.paused && this.current.firstFrameMs !== undefined) || this.scrubbing) return;
    const found = this.patience.judge(this.current.phase, this.current.rate);
    if (found === "never") {
      if (seat.relayed && seat.path !== "socket") shun(this.wish.site); // the site itself may do better
      this.seating.fail(text.live.noPicture);
    } else if (this.siteReason) return; // the site is there and says why: it goes on by itself
    else if (found === "none") this.set({ phase: "playing", reason: "" });
    else if (found === "stalled") this.set({ phase: "stalled", reason: text.live.stalled });
    else if (found === "over") this.seating.fail(text.live.stalled);
  }

  /** Stops to look at what comes in on the place. */
  private release(): void {
    clearInterval(this.ticking);
    // An element that plays shows nothing where nothing comes any more.
    if (this.current.paused && this.current.firstFrameMs !== undefined) this.video.pause();
    this.controlled = this.held = false;
    this.shuttle.knows = undefined;
    this.reader = new StatsReader();
    this.screen.forget();
  }

  private failed(reason: string, again: boolean): void {
    this.pictured();
    this.set({ phase: again ? "reconnecting" : "failed", reason });
    if (again && this.wish.fromUs !== undefined) this.playhead.jump(this.playhead.at(this.video.currentTime));
  }

  private readonly set = (change: Partial<Snapshot>): void => this.board.set(change);
}
