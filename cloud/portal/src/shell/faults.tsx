import { Link } from "@tanstack/react-router";
import { CircleAlert, Compass } from "lucide-react";

import { ApiError } from "../api/errors";
import { text } from "../text";
import { Button } from "../ui/button";
import { Empty, Failure } from "../ui/notice";

/** A page that broke: its error in words and a way on. */
export function PageFailure({ error }: { error: unknown }) {
  if (error instanceof ApiError) {
    return <div className="page"><Failure what={text.errors.pageTitle} error={error} onRetry={() => location.reload()} /></div>;
  }
  return (
    <div className="page">
      <Empty icon={CircleAlert} title={text.errors.pageTitle} action={<Button onPress={() => location.reload()}>{text.actions.tryAgain}</Button>}>
        <p>{text.errors.unexpected}</p>
      </Empty>
    </div>
  );
}

/** An address that leads nowhere. */
export function PageMissing() {
  return (
    <main className="page">
      <h1 className="unseen">{text.product}</h1>
      <Empty icon={Compass} title={text.errors.missingTitle} action={<Link className="link" to="/">{text.errors.toSites}</Link>}>
        <p>{text.errors.missingText}</p>
      </Empty>
    </main>
  );
}
