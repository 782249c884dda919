CREATE TABLE public.enrol_answered (
    key character varying NOT NULL,
    request_sha256 character varying NOT NULL,
    vehicle_ref character varying NOT NULL,
    status integer NOT NULL,
    body character varying NOT NULL,
    at_s bigint NOT NULL
);
CREATE TABLE public.enrol_car (
    vehicle_ref character varying NOT NULL,
    status character varying NOT NULL,
    seq bigint NOT NULL,
    document character varying NOT NULL
);
CREATE TABLE public.enrol_change (
    seq bigint NOT NULL,
    vehicle_ref character varying NOT NULL,
    what character varying NOT NULL,
    at character varying NOT NULL,
    detail character varying NOT NULL
);
CREATE SEQUENCE public.enrol_change_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.enrol_change_seq_seq OWNED BY public.enrol_change.seq;
CREATE TABLE public.enrol_choice (
    vehicle_ref character varying NOT NULL,
    choice character varying NOT NULL,
    event_id character varying NOT NULL,
    at character varying NOT NULL,
    until character varying,
    seq bigint NOT NULL
);
CREATE TABLE public.enrol_consent (
    seq bigint NOT NULL,
    vehicle_ref character varying NOT NULL,
    scope character varying NOT NULL,
    version character varying NOT NULL,
    agreed boolean NOT NULL,
    at character varying NOT NULL,
    recorded_at character varying NOT NULL,
    terms_sha256 character varying NOT NULL,
    valid_until character varying
);
CREATE SEQUENCE public.enrol_consent_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.enrol_consent_seq_seq OWNED BY public.enrol_consent.seq;
CREATE TABLE public.enrol_decided (
    vehicle_ref character varying NOT NULL,
    act character varying NOT NULL,
    at character varying NOT NULL
);
CREATE TABLE public.enrol_head (
    id integer NOT NULL,
    seq bigint NOT NULL,
    told bigint NOT NULL
);
CREATE SEQUENCE public.enrol_head_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.enrol_head_id_seq OWNED BY public.enrol_head.id;
CREATE TABLE public.enrol_key (
    name character varying NOT NULL,
    sha256 character varying NOT NULL,
    since character varying NOT NULL
);
CREATE TABLE public.enrol_membership (
    vehicle_ref character varying NOT NULL,
    kind character varying NOT NULL,
    program character varying NOT NULL,
    since character varying NOT NULL
);
CREATE TABLE public.enrol_person (
    vehicle_ref character varying NOT NULL,
    vin character varying,
    utility character varying,
    account_id character varying,
    document character varying NOT NULL
);
CREATE TABLE public.enrol_rules (
    seq bigint NOT NULL,
    at character varying NOT NULL,
    document character varying NOT NULL
);
CREATE SEQUENCE public.enrol_rules_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.enrol_rules_seq_seq OWNED BY public.enrol_rules.seq;
CREATE TABLE public.enrol_terms (
    sha256 character varying NOT NULL,
    text character varying NOT NULL
);
ALTER TABLE ONLY public.enrol_change ALTER COLUMN seq SET DEFAULT nextval('public.enrol_change_seq_seq'::regclass);
ALTER TABLE ONLY public.enrol_consent ALTER COLUMN seq SET DEFAULT nextval('public.enrol_consent_seq_seq'::regclass);
ALTER TABLE ONLY public.enrol_head ALTER COLUMN id SET DEFAULT nextval('public.enrol_head_id_seq'::regclass);
ALTER TABLE ONLY public.enrol_rules ALTER COLUMN seq SET DEFAULT nextval('public.enrol_rules_seq_seq'::regclass);
INSERT INTO public.enrol_answered (key, request_sha256, vehicle_ref, status, body, at_s) VALUES ('key of enrol_answered', 'request_sha256 of enrol_answered', 'bmw-0001', 7, 'body of enrol_answered', 7);
INSERT INTO public.enrol_car (vehicle_ref, status, seq, document) VALUES ('bmw-0001', 'status of enrol_car', 7, '{"name":"café"}');
INSERT INTO public.enrol_change (seq, vehicle_ref, what, at, detail) VALUES (7, 'bmw-0001', 'what of enrol_change', '2026-11-30T11:00:00+00:00', 'detail of enrol_change');
INSERT INTO public.enrol_choice (vehicle_ref, choice, event_id, at, until, seq) VALUES ('bmw-0001', 'choice of enrol_choice', 'e-1', '2026-11-30T11:00:00+00:00', '2026-12-01T11:00:00+00:00', 7);
INSERT INTO public.enrol_consent (seq, vehicle_ref, scope, version, agreed, at, recorded_at, terms_sha256, valid_until) VALUES (7, 'bmw-0001', 'scope of enrol_consent', 'version of enrol_consent', false, '2026-11-30T11:00:00+00:00', 'recorded_at of enrol_consent', 'terms_sha256 of enrol_consent', 'valid_until of enrol_consent');
INSERT INTO public.enrol_decided (vehicle_ref, act, at) VALUES ('bmw-0001', 'act of enrol_decided', '2026-11-30T11:00:00+00:00');
INSERT INTO public.enrol_head (id, seq, told) VALUES (1, 7, 0);
INSERT INTO public.enrol_key (name, sha256, since) VALUES ('name of enrol_key', 'sha256 of enrol_key', 'since of enrol_key');
INSERT INTO public.enrol_membership (vehicle_ref, kind, program, since) VALUES ('bmw-0001', 'kind of enrol_membership', 'program of enrol_membership', 'since of enrol_membership');
INSERT INTO public.enrol_person (vehicle_ref, vin, utility, account_id, document) VALUES ('bmw-0001', 'vin of enrol_person', 'utility of enrol_person', 'account_id of enrol_person', '{"name":"café"}');
INSERT INTO public.enrol_rules (seq, at, document) VALUES (7, '2026-11-30T11:00:00+00:00', '{"name":"café"}');
INSERT INTO public.enrol_terms (sha256, text) VALUES ('sha256 of enrol_terms', 'text of enrol_terms');
SELECT pg_catalog.setval('public.enrol_change_seq_seq', 1, false);
SELECT pg_catalog.setval('public.enrol_consent_seq_seq', 1, false);
SELECT pg_catalog.setval('public.enrol_head_id_seq', 1, false);
SELECT pg_catalog.setval('public.enrol_rules_seq_seq', 1, false);
ALTER TABLE ONLY public.enrol_answered
    ADD CONSTRAINT enrol_answered_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.enrol_car
    ADD CONSTRAINT enrol_car_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.enrol_change
    ADD CONSTRAINT enrol_change_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.enrol_choice
    ADD CONSTRAINT enrol_choice_pkey PRIMARY KEY (vehicle_ref, choice, event_id);
ALTER TABLE ONLY public.enrol_consent
    ADD CONSTRAINT enrol_consent_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.enrol_decided
    ADD CONSTRAINT enrol_decided_pkey PRIMARY KEY (vehicle_ref, act);
ALTER TABLE ONLY public.enrol_head
    ADD CONSTRAINT enrol_head_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.enrol_key
    ADD CONSTRAINT enrol_key_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.enrol_key
    ADD CONSTRAINT enrol_key_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY public.enrol_membership
    ADD CONSTRAINT enrol_membership_pkey PRIMARY KEY (vehicle_ref, kind);
ALTER TABLE ONLY public.enrol_person
    ADD CONSTRAINT enrol_person_pkey PRIMARY KEY (vehicle_ref);
ALTER TABLE ONLY public.enrol_person
    ADD CONSTRAINT enrol_person_vin_key UNIQUE (vin);
ALTER TABLE ONLY public.enrol_rules
    ADD CONSTRAINT enrol_rules_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.enrol_terms
    ADD CONSTRAINT enrol_terms_pkey PRIMARY KEY (sha256);
CREATE INDEX ix_enrol_answered_at_s ON public.enrol_answered USING btree (at_s);
CREATE INDEX ix_enrol_answered_vehicle_ref ON public.enrol_answered USING btree (vehicle_ref);
CREATE INDEX ix_enrol_car_seq ON public.enrol_car USING btree (seq);
CREATE INDEX ix_enrol_car_status ON public.enrol_car USING btree (status);
CREATE INDEX ix_enrol_change_vehicle_ref ON public.enrol_change USING btree (vehicle_ref);
CREATE INDEX ix_enrol_choice_seq ON public.enrol_choice USING btree (seq);
CREATE INDEX ix_enrol_consent_vehicle_ref ON public.enrol_consent USING btree (vehicle_ref);
CREATE INDEX ix_enrol_membership_program ON public.enrol_membership USING btree (program);
CREATE INDEX ix_enrol_person_account_id ON public.enrol_person USING btree (account_id);
CREATE INDEX ix_enrol_person_utility ON public.enrol_person USING btree (utility);
