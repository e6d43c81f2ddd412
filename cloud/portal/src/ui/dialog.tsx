import { X } from "lucide-react";
import { type FormEvent, type ReactNode, useState } from "react";
import { Dialog as AriaDialog } from "react-aria-components/Dialog";
import { Heading } from "react-aria-components/Heading";
import { Modal, ModalOverlay } from "react-aria-components/Modal";

import { words } from "../api/errors";
import { text } from "../text";
import { Button, IconButton } from "./button";
import { TextField } from "./field";
import { Notice } from "./notice";

interface DialogProps {
  title: string;
  open: boolean;
  onClose: () => void;
  wide?: boolean;
  /** Broad enough for two columns on a desk. */
  size?: "broad";
  /** An urgent question: closing by a click outside is off. */
  firm?: boolean;
  children: ReactNode;
  "data-testid"?: string;
}

/** A modal dialog; a sheet from below on a phone. */
export function Dialog({ title, open, onClose, wide, size, firm, children, ...rest }: DialogProps) {
  return (
    <ModalOverlay className="veil" isOpen={open} onOpenChange={(next) => !next && onClose()} isDismissable={!firm}>
      <Modal className={["modal", wide && "modal-wide", size === "broad" && "modal-broad"].filter(Boolean).join(" ")}>
        <AriaDialog className="dialog" role={firm ? "alertdialog" : "dialog"} data-testid={rest["data-testid"]}>
          <header className="dialog-head">
            <Heading slot="title" level={2}>{title}</Heading>
            <IconButton small label={text.actions.close} onPress={onClose}><X size={18} aria-hidden /></IconButton>
          </header>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

interface FormDialogProps extends DialogProps {
  submit: string;
  danger?: boolean;
  ready?: boolean;
  /** Does the work; the dialog closes when it succeeds and says why when it does not. */
  onSubmit: () => Promise<unknown>;
}

/** A dialog around a form, with its buttons, its busy state and its error. */
export function FormDialog({ submit, danger, ready = true, onSubmit, children, ...dialog }: FormDialogProps) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault(undefined);
    try {
      await onSubmit();
      dialog.onClose();
    } catch (error) {
      setFault(words(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog {...dialog}>
      <form className="dialog-form" onSubmit={(event) => void send(event)}>
        <div className="dialog-body">
          {children}
          {fault && <Notice tone="bad">{fault}</Notice>}
        </div>
        <footer className="dialog-foot">
          <Button onPress={dialog.onClose}>{text.actions.cancel}</Button>
          <Button type="submit" look={danger ? "danger" : "primary"} busy={busy} isDisabled={!ready} data-testid="dialog-submit">{submit}</Button>
        </footer>
      </form>
    </Dialog>
  );
}

interface ConfirmProps {
  title: string;
  open: boolean;
  onClose: () => void;
  submit: string;
  onSubmit: () => Promise<unknown>;
  /** What must be typed before the button works, for what cannot be undone. */
  type?: string;
  children: ReactNode;
}

/** Asks before something that cannot be undone. */
export function Confirm({ type, children, ...rest }: ConfirmProps) {
  const [typed, setTyped] = useState("");
  return (
    <FormDialog {...rest} danger firm ready={!type || typed.trim() === type}>
      <div className="dialog-text">{children}</div>
      {type && <TextField label={text.actions.typeToConfirm(type)} value={typed} onChange={setTyped} autoComplete="off" autoFocus />}
    </FormDialog>
  );
}
